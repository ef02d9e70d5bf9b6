"""What an environment would have: its resources, as a test of terraform with mocks applies them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.terraform.offline import Answer, Terraform

# The runs of terraform/envs/*/tests that apply the whole, and that plan what comes before it.
WHOLE, BEGINNING = "is_whole", "begins_with_places"
_ACCOUNT = re.compile(r"serviceAccount:(?P<name>[a-z0-9-]+)@(?P<project>[a-z0-9-]+)\.iam\.gserviceaccount\.com$")
_WORKLOAD = re.compile(
    r"principal://iam\.googleapis\.com/projects/\d+/.*/(?P<pool>[^/]+)/subject/ns/([^/]+)/sa/([^/]+)$"
)


@dataclass(frozen=True)
class Environment:
    """One of terraform/envs, applied to nothing."""

    name: str
    resources: tuple[dict[str, Any], ...]
    # The addresses of what docs/deploy.md has made before the rest.
    beginning: frozenset[str]

    @property
    def project(self) -> str:
        return f"imagen-{self.name}"

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Return the values of all resources of a type, `google_` left out."""
        return [resource["values"] for resource in self.resources if resource["type"] == f"google_{kind}"]

    def names(self, kind: str, attribute: str = "name") -> set[str]:
        return {values[attribute] for values in self.of_type(kind)}

    def grants(self) -> set[tuple[str, str]]:
        """Return who has which right: ("imagen-web", "roles/pubsub.publisher on pubsub_topic upscale-jobs")."""
        return {
            (_who(resource["values"]["member"]), f"{resource['values']['role']} on {_where(resource)}")
            for resource in self.resources
            if resource["type"].endswith("_iam_member")
        }


@cache
def applied(terraform: Terraform, folder: Path) -> Environment:
    """Apply an environment with mocks. Fails with what terraform says when it cannot be."""
    answer = terraform(folder, "test", "-json", "-verbose")
    assert answer.code == 0, [message for message in answer.messages if message["@level"] == "error"]
    whole = _told(answer, "test_state", WHOLE)
    beginning = _told(answer, "test_plan", BEGINNING)
    return Environment(
        folder.name,
        tuple(_resources(whole["root_module"])),
        frozenset(
            change["address"] for change in beginning["resource_changes"] if "create" in change["change"]["actions"]
        ),
    )


def _told(answer: Answer, kind: str, run: str) -> dict[str, Any]:
    [told] = [message[kind] for message in answer.messages if message["type"] == kind and message["@testrun"] == run]
    return told


def _resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def _who(member: str) -> str:
    if account := _ACCOUNT.match(member):
        # Google's own accounts have the number of the project before the @, ours the name of what runs.
        return account["project"] if account["name"].startswith("service-") else account["name"]
    if workload := _WORKLOAD.match(member):
        return f"{workload[2]}/{workload[3]}"
    return member


def _where(resource: dict[str, Any]) -> str:
    values, kind = resource["values"], resource["type"].removeprefix("google_").removesuffix("_iam_member")
    conditions = [condition["expression"] for condition in values.get("condition") or []]
    return " if ".join([_thing(kind, values), *conditions])


def _thing(kind: str, values: dict[str, Any]) -> str:
    if kind == "project":
        return "the project"
    places = ("topic", "subscription", "bucket", "secret_id", "repository", "service_account_id", "name", "service")
    place = next(str(values[name]) for name in places if values.get(name))
    return f"{kind} {place.rpartition('/')[2].partition('@')[0]}"
