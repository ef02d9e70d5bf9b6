"""The files of terraform/: their form, their meaning to the real schema, and the tests that they bring with them."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.running_site import ROOT
from tests.terraform.configuration import blocks, refusals
from tests.terraform.offline import ENVIRONMENTS, MODULES, TERRAFORM

if TYPE_CHECKING:
    from pathlib import Path

    from tests.terraform.environments import Environment
    from tests.terraform.offline import Terraform

pytestmark = pytest.mark.deployment

FILES = sorted(TERRAFORM.rglob("*.tf"))
FOLDERS = [*MODULES, *ENVIRONMENTS]
TESTED = [folder for folder in MODULES if list(folder.glob("tests/*.tftest.hcl"))]


def name(folder: Path) -> str:
    return str(folder.relative_to(TERRAFORM))


class TestTheFilesOfTerraform:
    def test_are_formatted(self, terraform: Terraform) -> None:
        assert terraform(TERRAFORM, "fmt", "-check", "-diff", "-recursive").text == ""

    def test_belong_to_a_module_or_an_environment(self) -> None:
        assert {file.parent for file in FILES} == set(FOLDERS)

    def test_ask_no_cloud_for_what_they_could_be_told(self) -> None:
        assert [str(block.file) for block in blocks(FILES, "data")] == []

    def test_leave_no_name_to_chance(self) -> None:
        random = [
            str(file) for file in FILES if re.search(r"\b(random_|uuid\(|timestamp\(|name_prefix)", file.read_text())
        ]

        assert random == []

    def test_make_no_key_of_a_service_account(self) -> None:
        assert [file for file in FILES if "google_service_account_key" in file.read_text()] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
class TestEveryModuleAndEnvironment:
    def test_is_what_the_schema_of_the_provider_wants(self, terraform: Terraform, folder: Path) -> None:
        answer = terraform(folder, "validate", "-no-color")

        assert answer.code == 0, answer.text

    def test_takes_the_same_provider_and_terraform(self, folder: Path) -> None:
        [settings] = blocks([folder / "versions.tf"], "terraform")

        assert 'version = ">= 8.7, < 9"' in settings.body
        # The first that keeps a password out of the state.
        assert 'required_version = ">= 1.11"' in settings.body

    def test_says_what_each_variable_and_output_is(self, folder: Path) -> None:
        silent = [
            block.name
            for block in blocks(folder.glob("*.tf"), "variable", "output")
            if not re.search(r'^  description = "[A-Z].*\."$', block.body, re.MULTILINE)
        ]

        assert silent == []

    def test_says_the_type_of_each_variable(self, folder: Path) -> None:
        loose = [
            block.name
            for block in blocks(folder.glob("*.tf"), "variable")
            if not re.search(r"^  type += (?!any$)", block.body, re.MULTILINE)
        ]

        assert loose == []

    def test_proves_of_each_check_of_a_variable_that_it_refuses(self, folder: Path) -> None:
        checks = Counter({b.name: b.body.count("  validation {") for b in blocks(folder.glob("*.tf"), "variable")})

        assert checks - refusals(folder) == Counter()


@pytest.mark.parametrize("folder", TESTED, ids=name)
class TestTheTestsOfAModule:
    def test_pass(self, terraform: Terraform, folder: Path) -> None:
        answer = terraform(folder, "test", "-no-color")

        assert answer.code == 0, answer.text


class TestAnEnvironment:
    def test_can_be_applied_and_passes_its_tests(self, environment: Environment) -> None:
        # The fixture fails with what terraform says otherwise.
        assert environment.of_type("container_cluster")


class TestBothEnvironments:
    def test_are_told_the_same_things(self) -> None:
        told = [{block.name for block in blocks([folder / "variables.tf"], "variable")} for folder in ENVIRONMENTS]

        assert told[0] == told[1]


@pytest.mark.parametrize("folder", ENVIRONMENTS, ids=name)
class TestTheExampleOfAnEnvironment:
    def test_says_all_that_must_be_said_and_nothing_unknown(self, folder: Path) -> None:
        variables = blocks([folder / "variables.tf"], "variable")
        needed = {block.name for block in variables if "\n  default " not in f"\n{block.body}"}
        said = set(re.findall(r"^(\w+) +=", (folder / "terraform.tfvars.example").read_text(), re.MULTILINE))

        assert needed <= said <= {block.name for block in variables}


@pytest.mark.parametrize("folder", ENVIRONMENTS, ids=name)
class TestEveryEnvironment:
    def test_counts_a_persons_calls_against_its_own_project(self, folder: Path) -> None:
        # Billing's API refuses the credentials of a person (403) that name no project to count them against.
        [provider] = blocks([folder / "versions.tf"], "provider")

        assert re.search(r"^  billing_project +=", provider.body, re.MULTILINE)
        assert re.search(r"^  user_project_override += true$", provider.body, re.MULTILINE)


class TestTheFirstApply:
    def test_makes_the_places_that_the_next_steps_fill(self, environment: Environment) -> None:
        kinds = {re.findall(r"google_(\w+)\.", address)[-1] for address in environment.beginning}

        assert {"artifact_registry_repository", "secret_manager_secret"} <= kinds
        # Twenty minutes, and an image that nobody has made yet.
        assert {"container_cluster", "sql_database_instance", "cloud_run_v2_service"} & kinds == set()

    def test_turns_on_what_it_asks_google_for(self, environment: Environment) -> None:
        assert any("google_project_service" in address for address in environment.beginning)

    def test_is_the_one_that_the_page_describes(self) -> None:
        page = (ROOT / "docs/deploy.md").read_text()
        tests = [(folder / "tests/beginning.tftest.hcl").read_text() for folder in ENVIRONMENTS]
        planned = {tuple(re.findall(r"module\.imagen\.module\.\w+", text)) for text in tests}

        assert planned == {tuple(re.findall(r"-target=(\S+)", page))}
