"""Terraform as a fixture: the real program over the real schema, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.terraform.environments import applied
from tests.terraform.offline import ENVIRONMENTS, TERRAFORM, Terraform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.terraform.environments import Environment


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let whichever test comes first wait for terraform, which is slow where others keep the processors busy."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    """Yield terraform for the folders of terraform/: `terraform(folder, "validate")`."""
    with Terraform.over(TERRAFORM, scratch=tmp_path_factory.mktemp("terraform")) as terraform:
        yield terraform


@pytest.fixture(scope="session", params=ENVIRONMENTS, ids=lambda folder: folder.name)
def environment(request: pytest.FixtureRequest, terraform: Terraform) -> Environment:
    """Return each of the environments in turn, with all its resources."""
    return applied(terraform, request.param)
