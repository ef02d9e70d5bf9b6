import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import authenticate
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import errors, key_text, services
from accounts.models import JOBS_READ, SCOPES, Account, ApiKey, User
from tests.cast import PASSWORD

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def key(alice: User, alice_key: str) -> ApiKey:
    return ApiKey.objects.get(account=alice.account)


class TestOpenAccount:
    def test_adds_the_first_person_who_can_sign_in(self, db: None) -> None:
        dora = services.open_account(name="Dora", email="Dora@Example.com", password=PASSWORD, now=NOW)

        assert authenticate(username="dora@example.com", password=PASSWORD) == dora
        assert (dora.account.name, dora.account.plan, dora.account.created_at) == ("Dora", "free", NOW)

    def test_of_a_taken_address_leaves_no_account_behind(self, alice: User) -> None:
        with pytest.raises(errors.EmailTaken, match="alice@example"):
            services.open_account(name="Alice again", email="ALICE@example.com", password=PASSWORD, now=NOW)

        assert Account.objects.count() == 1

    @pytest.mark.parametrize("email", ["", "dora", "dora@", "do ra@example.com", "dora@example.com\0"])
    def test_refuses_what_is_not_an_address(self, db: None, email: str) -> None:
        with pytest.raises(errors.EmailMalformed):
            services.open_account(name="Dora", email=email, password=PASSWORD, now=NOW)

        assert not Account.objects.exists()

    def test_refuses_a_weak_password_and_says_why(self, db: None) -> None:
        with pytest.raises(errors.PasswordTooWeak, match="too short"):
            services.open_account(name="Dora", email="dora@example.com", password="123", now=NOW)

        assert not User.objects.exists()


class TestAddPerson:
    def test_lets_somebody_share_the_account(self, alice: User) -> None:
        dora = services.add_person(
            account=alice.account, name="Dora", email="dora@example.com", password=PASSWORD, now=NOW
        )

        assert dora.account == alice.account
        assert dora.joined_at == NOW


class TestCreateApiKey:
    def test_returns_the_text_and_stores_only_a_hash_of_its_secret(self, alice: User) -> None:
        key, text = services.create_api_key(
            account=alice.account, name="import", scopes=[JOBS_READ], mode="test", created_by=alice, now=NOW
        )

        secret = text.rsplit("_", 1)[1]
        key.refresh_from_db()
        assert text == f"img_test_{key.prefix}_{secret}"
        assert key.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
        assert secret not in str(ApiKey.objects.values().get())

    @pytest.mark.parametrize("scopes", [[], ["jobs:delete"], ["jobs:read", "*"]])
    def test_refuses_no_scopes_and_unknown_ones(self, alice: User, scopes: list[str]) -> None:
        with pytest.raises(errors.UnknownScope, match="jobs:read, jobs:write"):
            services.create_api_key(
                account=alice.account, name="x", scopes=scopes, mode="live", created_by=alice, now=NOW
            )

    def test_refuses_an_unknown_mode(self, alice: User) -> None:
        with pytest.raises(ValueError, match="'beta'"):
            services.create_api_key(
                account=alice.account, name="x", scopes=SCOPES, mode="beta", created_by=alice, now=NOW
            )


class TestAuthenticateKey:
    def test_finds_the_key_and_its_account(self, alice: User, key: ApiKey, alice_key: str) -> None:
        found = services.authenticate_key(alice_key, now=NOW)

        assert found == key
        assert found.account == alice.account

    def test_notes_the_use_at_most_once_a_minute(self, key: ApiKey, alice_key: str) -> None:
        for seconds in (0, 1, 59):
            services.authenticate_key(alice_key, now=NOW + timedelta(seconds=seconds))
            key.refresh_from_db()
            assert key.last_used_at == NOW

        services.authenticate_key(alice_key, now=NOW + timedelta(seconds=60))

        key.refresh_from_db()
        assert key.last_used_at == NOW + timedelta(seconds=60)

    def test_asks_the_database_once_while_the_use_is_noted(self, alice_key: str) -> None:
        services.authenticate_key(alice_key, now=NOW)

        with CaptureQueriesContext(
            connection,
        ) as queries:
            services.authenticate_key(alice_key, now=NOW + timedelta(seconds=1))

        assert len(queries) == 1

    def test_refuses_a_wrong_secret_as_it_refuses_an_unknown_prefix(self, key: ApiKey) -> None:
        stranger = key_text.make("live")
        wrong_secret = _resign(f"img_live_{key.prefix}_{stranger.secret[: key_text.RANDOM_LENGTH]}")

        sentences, costs = set(), set()
        for text in (wrong_secret, str(stranger)):
            with CaptureQueriesContext(connection) as queries, pytest.raises(errors.InvalidApiKey) as refusal:
                services.authenticate_key(text, now=NOW)
            sentences.add(str(refusal.value))
            costs.add(len(queries))

        assert len(sentences) == 1
        assert costs == {1}

    def test_refuses_a_typo_without_asking_the_database(self, alice_key: str) -> None:
        typo = alice_key[:-1] + ("A" if alice_key[-1] != "A" else "B")

        with CaptureQueriesContext(connection) as queries, pytest.raises(errors.InvalidApiKey, match="complete"):
            services.authenticate_key(typo, now=NOW)

        assert len(queries) == 0

    def test_refuses_a_live_key_dressed_as_a_test_key(self, key: ApiKey, alice_key: str) -> None:
        body = alice_key[: -key_text.CHECKSUM_LENGTH].replace("_live_", "_test_")

        with pytest.raises(errors.InvalidApiKey):
            services.authenticate_key(_resign(body), now=NOW)

    def test_refuses_a_key_from_the_moment_it_expires(self, alice: User) -> None:
        _, text = services.create_api_key(
            account=alice.account, name="x", scopes=SCOPES, mode="live", created_by=None, now=NOW, expires_at=NOW
        )

        assert services.authenticate_key(text, now=NOW - timedelta(seconds=1))
        with pytest.raises(errors.InvalidApiKey, match="expired"):
            services.authenticate_key(text, now=NOW)

    def test_still_knows_a_key_whose_maker_has_left(self, alice: User, bob: User) -> None:
        _, text = services.create_api_key(
            account=bob.account, name="x", scopes=SCOPES, mode="live", created_by=bob, now=NOW
        )
        bob.delete()

        assert services.authenticate_key(text, now=NOW).account == alice.account


class TestRevokeApiKey:
    def test_closes_it_for_good(self, alice: User, key: ApiKey, alice_key: str) -> None:
        assert services.revoke_api_key(account=alice.account, key_id=key.pk, now=NOW) is True

        with pytest.raises(errors.InvalidApiKey, match="revoked"):
            services.authenticate_key(alice_key, now=NOW)

    def test_twice_keeps_the_first_time(self, alice: User, key: ApiKey) -> None:
        services.revoke_api_key(account=alice.account, key_id=key.pk, now=NOW)

        assert services.revoke_api_key(account=alice.account, key_id=key.pk, now=NOW + timedelta(days=1)) is False

        key.refresh_from_db()
        assert key.revoked_at == NOW

    def test_is_not_for_strangers(self, charlie: User, key: ApiKey, alice_key: str) -> None:
        with pytest.raises(errors.ApiKeyNotFound):
            services.revoke_api_key(account=charlie.account, key_id=key.pk, now=NOW)

        assert services.authenticate_key(alice_key, now=NOW)


def _resign(body: str) -> str:
    return body + key_text._checksum(body)
