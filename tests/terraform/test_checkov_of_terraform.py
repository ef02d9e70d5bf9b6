"""What checkov says of terraform/, and what it cannot see."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.running_site import ROOT
from tests.terraform.checkov_exceptions import EXCEPTIONS

if TYPE_CHECKING:
    from tests.terraform.environments import Environment

pytestmark = pytest.mark.deployment

_RESOURCE = re.compile(r"(google_\w+\.\w+)")


@pytest.fixture(scope="module")
def failures() -> set[tuple[str, str]]:
    """Return the checks that fail, each with its resource; without the modules on the way to it, and once for a loop."""
    command = [str(ROOT / ".venv-deployment/bin/checkov"), "--skip-download", "--directory=terraform"]
    command += ["--framework=terraform", "--compact", "--quiet", "--output=json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    return {(each["check_id"], _RESOURCE.findall(each["resource"])[-1]) for each in report["results"]["failed_checks"]}


class TestCheckov:
    def test_finds_nothing_that_nobody_has_thought_about(self, failures: set[tuple[str, str]]) -> None:
        assert failures - EXCEPTIONS.keys() == set()

    def test_still_finds_what_is_excepted(self, failures: set[tuple[str, str]]) -> None:
        # An exception that is no longer needed hides the next mistake.
        assert EXCEPTIONS.keys() - failures == set()


class TestTheDatabase:
    def test_takes_encrypted_connections_from_inside_alone(self, environment: Environment) -> None:
        [database] = environment.of_type("sql_database_instance")
        [addresses] = database["settings"][0]["ip_configuration"]

        assert addresses["ssl_mode"] == "ENCRYPTED_ONLY"
        assert not addresses["ipv4_enabled"]

    def test_logs_who_comes_and_who_waits(self, environment: Environment) -> None:
        [database] = environment.of_type("sql_database_instance")
        flags = {flag["name"]: flag["value"] for flag in database["settings"][0]["database_flags"]}

        wanted = ("log_checkpoints", "log_connections", "log_disconnections", "log_lock_waits")
        assert {flags[name] for name in wanted} == {"on"}


class TestWhatHoldsData:
    def test_cannot_be_destroyed_in_production_and_can_be_in_dev(self, environment: Environment) -> None:
        kinds = ("container_cluster", "sql_database_instance", "cloud_run_v2_service", "secret_manager_secret")
        protected = {
            (kind, values.get("name"), values.get("secret_id")): values["deletion_protection"]
            for kind in kinds
            for values in environment.of_type(kind)
            # Terraform writes this one, and can again.
            if values.get("secret_id") != "metrics-collector"
        }

        assert {
            name for name, is_protected in protected.items() if is_protected != (environment.name == "prod")
        } == set()
