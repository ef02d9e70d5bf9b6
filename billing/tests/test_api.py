from datetime import UTC, datetime

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from accounts import services as accounts
from accounts.models import User
from billing import services

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ACCOUNT = "/api/v1/account"


@pytest.fixture
def api() -> APIClient:
    return APIClient()


class TestAccountApi:
    def test_says_who_asks_and_what_they_can_spend(self, api: APIClient, alice: User, alice_key: str) -> None:
        services.grant(account=alice.account, credits=10, reference="welcome", now=NOW)
        services.hold(account=alice.account, credits=4, reference="job-1", now=NOW)

        answer = api.get(ACCOUNT, headers={"Authorization": f"Bearer {alice_key}"})

        assert answer.status_code == 200
        assert answer.json() == {
            "account_id": str(alice.account.pk),
            "name": "Alice's Prints",
            "plan": "free",
            "credits": {"available": 6, "held": 4},
        }

    def test_answers_a_browsers_session_and_everybody_of_the_account_alike(
        self, api: APIClient, alice: User, bob: User
    ) -> None:
        services.grant(account=alice.account, credits=10, reference="welcome", now=NOW)
        api.force_login(bob)

        assert api.get(ACCOUNT).json()["credits"] == {"available": 10, "held": 0}

    def test_tells_a_stranger_only_of_their_own(self, api: APIClient, alice: User, charlie: User) -> None:
        services.grant(account=alice.account, credits=10, reference="welcome", now=NOW)
        api.force_login(charlie)

        answer = api.get(ACCOUNT).json()

        assert (answer["account_id"], answer["credits"]["available"]) == (str(charlie.account.pk), 0)

    def test_is_open_to_a_key_that_may_only_write(self, api: APIClient, alice: User) -> None:
        _, key = accounts.create_api_key(
            account=alice.account, name="x", scopes=["jobs:write"], mode="live", created_by=alice, now=NOW
        )

        assert api.get(ACCOUNT, headers={"X-API-Key": key}).status_code == 200

    def test_asks_who_it_is(self, api: APIClient, db: None) -> None:
        answer = api.get(ACCOUNT)

        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Bearer")

    def test_cannot_be_written_to(self, api: APIClient, alice_key: str) -> None:
        assert api.post(ACCOUNT, {}, headers={"X-API-Key": alice_key}).status_code == 405

    def test_is_described_in_the_schema(self) -> None:
        schema = SchemaGenerator(urlconf="billing.api_urls").get_schema(request=None, public=True)

        properties = schema["components"]["schemas"]["Account"]["properties"]
        assert set(properties) == {"account_id", "name", "plan", "credits"}
