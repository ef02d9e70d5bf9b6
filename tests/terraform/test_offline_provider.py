"""The stand-in for the google provider: a check that accepts anything would be worse than none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.terraform.offline import Terraform

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Saying = Callable[[str], str]

pytestmark = pytest.mark.deployment

_TOPIC = 'resource "google_pubsub_topic" "jobs" {{\n  {}\n}}\n'


@pytest.fixture
def terraform_says(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Saying:
    """Return what `terraform validate` says of a configuration, in one line."""

    def says(configuration: str) -> str:
        (tmp_path / "main.tf").write_text(configuration)
        with Terraform.over(tmp_path, scratch=tmp_path_factory.mktemp("stub")) as terraform:
            return " ".join(terraform(tmp_path, "validate", "-no-color").text.replace("│", " ").split())

    return says


class TestTheStandInForTheGoogleProvider:
    def test_takes_what_the_real_one_takes(self, terraform_says: Saying) -> None:
        assert "The configuration is valid" in terraform_says(_TOPIC.format('name = "jobs"'))

    def test_knows_blocks_inside_blocks(self, terraform_says: Saying) -> None:
        configuration = (
            'resource "google_container_cluster" "imagen" {\n  name = "imagen"\n'
            "  addons_config {\n    gcs_fuse_csi_driver_config {\n      enabled = true\n    }\n  }\n}\n"
        )

        assert "The configuration is valid" in terraform_says(configuration)

    def test_knows_where_a_password_may_go_that_no_state_may_hold(self, terraform_says: Saying) -> None:
        configuration = (
            'variable "password" {{\n  type = string\n  ephemeral = true\n}}\n'
            'resource "google_sql_user" "imagen" {{\n  name = "imagen"\n  instance = "imagen"\n  {} = var.password\n}}\n'
        )

        assert "The configuration is valid" in terraform_says(configuration.format("password_wo"))
        assert "Invalid use of ephemeral value" in terraform_says(configuration.format("password"))

    @pytest.mark.parametrize(
        ("body", "complaint"),
        [
            ('name = "jobs"\n  nome = "jobs"', 'An argument named "nome" is not expected here'),
            ("", 'The argument "name" is required'),
            ('name = ["jobs"]', "Inappropriate value for attribute"),
            ('name = "jobs"\n  effective_labels = {}', "effective_labels is what the provider answers"),
            ('name = "jobs"\n  retry {}', 'Blocks of type "retry" are not expected here'),
        ],
        ids=["an unknown argument", "a missing one", "a wrong type", "an answer", "an unknown block"],
    )
    def test_refuses(self, terraform_says: Saying, body: str, complaint: str) -> None:
        assert complaint in terraform_says(_TOPIC.format(body))

    def test_knows_no_type_that_the_real_one_lacks(self, terraform_says: Saying) -> None:
        says = terraform_says('resource "google_pubsub_topick" "jobs" {}\n')

        assert 'does not support resource type "google_pubsub_topick"' in says
