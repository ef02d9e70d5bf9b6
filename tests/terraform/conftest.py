"""Terraform as a fixture: the real program over the real schema, offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.terraform.offline import TERRAFORM, Terraform

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    """Yield terraform for the folders of terraform/: `terraform(folder, "validate")`."""
    with Terraform.over(TERRAFORM, scratch=tmp_path_factory.mktemp("terraform")) as terraform:
        yield terraform
