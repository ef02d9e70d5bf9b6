"""What a release asks for by name, against what Terraform has made for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.running_site import ROOT
from tests.terraform.services import services

if TYPE_CHECKING:
    from tests.terraform.environments import Environment

pytestmark = pytest.mark.deployment

_STEPS = "\n".join(
    path.read_text() for path in sorted((ROOT / ".ci/cloud").iterdir()) if path.suffix not in {".md", ".py"}
)
CLOUD_BUILD = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())


def named(pattern: str) -> set[str]:
    """Return every name that the steps of a release have in this place of a command. There is at least one."""
    found = {name for listed in re.findall(pattern, _STEPS) for name in listed.split()}
    assert found
    return found


class TestARelease:
    def test_moves_services_that_there_are(self, environment: Environment) -> None:
        assert named(r"for service in ([a-z -]+)") <= environment.names("cloud_run_v2_service")

    def test_puts_its_image_into_the_containers_of_the_site(self, environment: Environment) -> None:
        containers = {services(environment)[name].container["name"] for name in named(r"for service in ([a-z -]+)")}

        assert containers == named(r"--container=([a-z]+)")

    def test_runs_jobs_that_there_are(self, environment: Environment) -> None:
        assert named(r"gcloud run jobs \w+ ([a-z-]+)") <= environment.names("cloud_run_v2_job")

    def test_speaks_to_the_cluster_that_there_is(self, environment: Environment) -> None:
        assert named(r"get-credentials ([a-z-]+)") == environment.names("container_cluster")

    def test_may_read_the_secrets_that_it_asks_for(self, environment: Environment) -> None:
        rights = {
            ("imagen-build", f"roles/secretmanager.secretAccessor on secret_manager_secret {secret}")
            for secret in named(r"--secret=([a-z-]+)")
        }

        assert rights <= environment.grants()

    def test_may_act_as_what_it_deploys(self, environment: Environment) -> None:
        rights = {
            ("imagen-build", f"roles/iam.serviceAccountUser on service_account {service.account}")
            for service in services(environment).values()
        }

        assert rights <= environment.grants()


class TestCloudBuild:
    def test_runs_as_the_account_that_terraform_makes(self, environment: Environment) -> None:
        account = CLOUD_BUILD["serviceAccount"].rpartition("/")[2].partition("@")[0]

        assert account in environment.names("service_account", "account_id")

    def test_is_told_nothing_that_it_does_not_ask_for(self, environment: Environment) -> None:
        [trigger] = environment.of_type("cloudbuild_trigger")

        # MUST_MATCH: an unknown one is refused, and the build does not start.
        assert trigger["substitutions"].keys() <= CLOUD_BUILD["substitutions"].keys()
        assert trigger["filename"] == "cloudbuild.yaml"
