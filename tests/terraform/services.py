"""What Terraform tells the services of Cloud Run, read out of an applied environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.terraform.environments import Environment

# What a person puts into Secret Manager, as far as the process that reads it can tell.
SECRET_VALUES = {
    "secret-key": "k" * 50,
    "database-url": "postgres://imagen:password@10.40.0.3:5432/imagen?sslmode=require",
    "redis-url": "rediss://:password@10.40.0.4:6378/0",
}


@dataclass(frozen=True)
class Service:
    """A service or a job: the container of the site's image, and who it runs as."""

    name: str
    account: str
    container: dict[str, Any]

    @property
    def told(self) -> dict[str, str]:
        """The variables of its environment, secrets left out."""
        return {variable["name"]: variable["value"] for variable in self.container["env"] if not _secret(variable)}

    @property
    def secrets(self) -> dict[str, str]:
        """The variables whose values are secrets, and the names of those."""
        return {variable["name"]: secret for variable in self.container["env"] if (secret := _secret(variable))}

    @property
    def environment(self) -> dict[str, str]:
        """What the process finds: all of it."""
        return {**self.told, **{name: SECRET_VALUES[secret] for name, secret in self.secrets.items()}}


def services(environment: Environment) -> dict[str, Service]:
    """Return what runs the site's image on Cloud Run, by its name."""
    found = [(values["name"], values["template"][0]) for values in environment.of_type("cloud_run_v2_service")]
    found += [
        (values["name"], values["template"][0]["template"][0]) for values in environment.of_type("cloud_run_v2_job")
    ]
    return {name: _service(name, template) for name, template in found}


def _service(name: str, template: dict[str, Any]) -> Service:
    [container] = [each for each in template["containers"] if "/imagen/api:" in each["image"]]
    return Service(name, template["service_account"].partition("@")[0], container)


def _secret(variable: dict[str, Any]) -> str | None:
    sources = variable.get("value_source") or []
    return sources[0]["secret_key_ref"][0]["secret"].rpartition("/")[2] if sources else None
