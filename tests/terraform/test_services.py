"""What Cloud Run's processes are told: each must start with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imagen_site import config
from tests.terraform.services import services

if TYPE_CHECKING:
    from tests.terraform.environments import Environment

pytestmark = pytest.mark.deployment


class TestEveryProcessOfTheSite:
    @pytest.mark.parametrize(("name", "service"), [("web", "site"), ("webhooks", "webhooks"), ("migrate", "site")])
    def test_starts_with_what_it_is_told(self, environment: Environment, name: str, service: str) -> None:
        told = config.load(services(environment)[name].environment)

        assert (told.profile, told.service) == ("gcp", service)
        assert told.cloud is not None
        assert told.cloud.project == environment.project
        assert not told.debug

    def test_runs_as_an_account_of_its_own(self, environment: Environment) -> None:
        accounts = {name: service.account for name, service in services(environment).items()}

        assert {name: accounts[name] for name in ("web", "webhooks", "migrate")} == {
            "web": "imagen-web",
            "webhooks": "imagen-webhooks",
            "migrate": "imagen-migrate",
        }

    def test_may_read_the_secrets_that_it_is_given(self, environment: Environment) -> None:
        given = {
            (service.account, f"roles/secretmanager.secretAccessor on secret_manager_secret {secret}")
            for service in services(environment).values()
            for secret in service.secrets.values()
        }

        assert given
        assert given <= environment.grants()

    def test_is_told_no_secret_in_the_open(self, environment: Environment) -> None:
        told = {name for service in services(environment).values() for name in service.told}

        assert told & {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"} == set()


class TestTheSite:
    def test_signs_links_as_the_account_that_it_runs_as(self, environment: Environment) -> None:
        web = services(environment)["web"]

        assert web.told["GS_SA_EMAIL"] == f"{web.account}@{environment.project}.iam.gserviceaccount.com"

    def test_answers_to_its_domain(self, environment: Environment) -> None:
        told = config.load(services(environment)["web"].environment)

        assert told.site_url == "https://images.example.com"
        assert "images.example.com" in told.allowed_hosts
