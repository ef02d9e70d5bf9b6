import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from accounts import services
from accounts.errors import InvalidApiKey
from accounts.models import SCOPES, Account, User
from billing.services import balance
from imagen_site import demo

NOW = datetime(2026, 6, 1, tzinfo=UTC)
URL = "http://127.0.0.1:8000"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Settings) -> None:
    # The real hasher takes a third of a second for each of them.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "demo.json"


def ensure(path: Path, url: str = URL) -> dict[str, Any]:
    demo.ensure(path, url=url, now=NOW)
    return dict(json.loads(path.read_text()))


class TestTheDemoAccount:
    def test_can_sign_in_has_credits_and_a_key_that_may_do_everything(self, path: Path) -> None:
        told = ensure(path)

        person = User.objects.get(email=told["email"])
        key = services.authenticate_key(told["api_key"], now=NOW)
        assert set(told) == {"url", "email", "password", "api_key"}
        assert told["url"] == URL
        assert person.check_password(told["password"])
        assert balance(person.account).available == 1_000
        assert key.account == person.account
        assert set(key.scopes) == set(SCOPES)

    def test_may_operate_the_site_also_when_an_earlier_version_made_it(self, path: Path) -> None:
        ensure(path)
        User.objects.update(is_staff=False, is_superuser=False)

        ensure(path)

        person = User.objects.get()
        assert (person.is_staff, person.is_superuser) == (True, True)

    def test_is_told_to_its_owner_alone(self, path: Path) -> None:
        ensure(path)

        assert path.stat().st_mode & 0o777 == 0o600
        assert list(path.parent.iterdir()) == [path]

    def test_stays_as_it_is_at_the_second_start(self, path: Path) -> None:
        first = ensure(path)

        second = ensure(path)

        account = Account.objects.get()
        assert second == first
        assert balance(account).available == 1_000

    def test_follows_the_site_to_another_port(self, path: Path) -> None:
        first = ensure(path)

        second = ensure(path, url="http://127.0.0.1:8010")

        assert second == {**first, "url": "http://127.0.0.1:8010"}


class TestALostFile:
    @pytest.mark.parametrize("left", [None, "", "{", '{"url": "http://127.0.0.1"}', "[]"])
    def test_is_written_with_new_secrets_and_closes_the_old_key(self, path: Path, left: str | None) -> None:
        first = ensure(path)
        path.unlink() if left is None else path.write_text(left)

        said = demo.ensure(path, url=URL, now=NOW)

        second = json.loads(path.read_text())
        assert "new password" in said
        assert User.objects.get().check_password(second["password"])
        assert services.authenticate_key(second["api_key"], now=NOW)
        with pytest.raises(InvalidApiKey, match="revoked"):
            services.authenticate_key(first["api_key"], now=NOW)

    def test_brings_no_second_credits(self, path: Path) -> None:
        ensure(path)
        path.unlink()

        ensure(path)

        assert balance(Account.objects.get()).available == 1_000

    def test_leaves_keys_alone_that_people_made(self, path: Path) -> None:
        ensure(path)
        account = Account.objects.get()
        _, text = services.create_api_key(
            account=account, name="mine", scopes=SCOPES, mode="live", created_by=None, now=NOW
        )
        path.unlink()

        ensure(path)

        assert services.authenticate_key(text, now=NOW).account == account


class TestAFileFromAnEarlierDatabase:
    def test_is_replaced(self, path: Path) -> None:
        first = ensure(path)
        old = User.objects.get()
        services.revoke_api_key(account=old.account, key_id=old.account.api_keys.get().pk, now=NOW)

        second = ensure(path)

        assert second["api_key"] != first["api_key"]
        assert services.authenticate_key(second["api_key"], now=NOW)
