"""Terraform as a fixture: the real program over the real schema, offline."""

from __future__ import annotations

import pytest

from tests.terraform.offline import TERRAFORM, Terraform


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Return terraform for the folders of terraform/: `terraform(folder, "validate")`."""
    return Terraform.install(tmp_path_factory.mktemp("terraform"), TERRAFORM)
