"""Who may do what to which thing: all of it, so that a new right is one that somebody has written down here too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.terraform.allowed_grants import ALLOWED
from tests.terraform.offline import TERRAFORM

if TYPE_CHECKING:
    from tests.terraform.environments import Environment

pytestmark = pytest.mark.deployment

# Roles over everything, and those that hand out roles.
TOO_MUCH = (
    "roles/owner",
    "roles/editor",
    "roles/viewer",
    "roles/iam.securityAdmin",
    "roles/resourcemanager.projectIamAdmin",
)


def by_member(environment: Environment) -> dict[str, set[str]]:
    rights: dict[str, set[str]] = {}
    for member, right in environment.grants():
        rights.setdefault(member, set()).add(right.replace(environment.project, "PROJECT"))
    return rights


class TestTheNodes:
    def test_have_their_rights_before_there_are_any(self) -> None:
        # A right of the project that asks the cluster for a member would keep all the others back.
        project, cluster = ((TERRAFORM / f"modules/imagen/{name}.tf").read_text() for name in ("project", "gke"))

        assert "module.gke" not in project
        assert "depends_on = [module.project]" in cluster


class TestEveryRight:
    def test_is_one_that_somebody_has_thought_of(self, environment: Environment) -> None:
        assert by_member(environment) == ALLOWED

    def test_is_less_than_everything(self, environment: Environment) -> None:
        assert [grant for grant in environment.grants() if grant[1].startswith(TOO_MUCH)] == []

    def test_is_added_and_takes_nobody_elses_away(self, environment: Environment) -> None:
        # A policy or a binding is the whole list: applied, it drops what others have been given.
        whole = [
            resource["type"]
            for resource in environment.resources
            if resource["type"].endswith(("_iam_policy", "_iam_binding"))
        ]

        assert whole == []

    def test_of_strangers_is_to_see_the_site(self, environment: Environment) -> None:
        everybody = {right for member, right in environment.grants() if member in {"allUsers", "allAuthenticatedUsers"}}

        assert everybody <= {"roles/run.invoker on cloud_run_v2_service web"}
