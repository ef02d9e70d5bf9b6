from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import services
from accounts.auth import ApiKeyAuthMiddleware, account_auth_stack
from accounts.models import Account, ApiKey, User

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def api() -> APIClient:
    return APIClient(enforce_csrf_checks=True)


@pytest.fixture
def read_key(alice: User) -> str:
    """A key that may only read."""
    return _key(alice, "jobs:read")


@pytest.mark.urls("accounts.tests.echo_urls")
class TestApiKey:
    @pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
    def test_is_read_from_either_header(self, api: APIClient, alice: User, alice_key: str, header: str) -> None:
        value = f"Bearer {alice_key}" if header == "Authorization" else alice_key

        answer = api.get("/echo", headers={header: value})

        assert answer.json() == {"account": str(alice.account.pk), "by_key": True}

    def test_may_come_in_both_headers_if_it_is_the_same(self, api: APIClient, alice_key: str) -> None:
        answer = api.get("/echo", headers={"Authorization": f"bearer  {alice_key} ", "X-API-Key": alice_key})

        assert answer.status_code == 200

    def test_needs_no_csrf_token(self, api: APIClient, alice_key: str) -> None:
        assert api.post("/echo", headers={"X-API-Key": alice_key}).status_code == 200

    def test_is_asked_for_when_nobody_says_who_they_are(self, api: APIClient, db: None) -> None:
        answer = api.get("/echo")

        assert answer.status_code == 401
        assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
        assert answer.data["detail"].code == "not_authenticated"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Authorization": "Bearer img_live_nonsense"},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer é"},
            {"X-API-Key": "img_live_nonsense"},
            {"X-API-Key": "\0"},
        ],
    )
    def test_that_is_bad_is_refused_even_beside_a_good_session(
        self, api: APIClient, alice: User, headers: dict[str, str]
    ) -> None:
        api.force_login(alice)

        answer = api.get("/echo", headers=headers)

        assert answer.status_code == 401
        assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
        assert answer.data["detail"].code == "invalid_api_key"

    def test_is_refused_when_the_headers_disagree(self, api: APIClient, alice_key: str, charlie_key: str) -> None:
        answer = api.get("/echo", headers={"Authorization": f"Bearer {alice_key}", "X-API-Key": charlie_key})

        assert answer.status_code == 401
        assert "different keys" in answer.data["detail"]

    def test_decides_beside_the_session_of_somebody_else(
        self, api: APIClient, alice: User, charlie: User, alice_key: str
    ) -> None:
        api.force_login(charlie)

        answer = api.get("/echo", headers={"X-API-Key": alice_key})

        assert answer.json()["account"] == str(alice.account.pk)

    def test_is_not_looked_for_in_a_proxys_basic_header(self, api: APIClient, alice: User) -> None:
        api.force_login(alice)

        answer = api.get("/echo", headers={"Authorization": "Basic YWxpY2U6eA=="})

        assert answer.json() == {"account": str(alice.account.pk), "by_key": False}

    def test_works_no_more_after_it_is_revoked(self, api: APIClient, alice: User, alice_key: str) -> None:
        services.revoke_api_key(account=alice.account, key_id=ApiKey.objects.get().pk, now=NOW)

        assert api.get("/echo", headers={"X-API-Key": alice_key}).status_code == 401


@pytest.mark.urls("accounts.tests.echo_urls")
class TestScope:
    def test_that_is_missing_is_named_in_the_refusal(self, api: APIClient, read_key: str) -> None:
        answer = api.post("/echo", headers={"X-API-Key": read_key})

        assert answer.status_code == 403
        assert answer.data["detail"].code == "scope_missing"
        assert "jobs:write" in answer.data["detail"]

    def test_is_enough_for_its_method_and_for_head(self, api: APIClient, read_key: str) -> None:
        assert api.get("/echo", headers={"X-API-Key": read_key}).status_code == 200
        assert api.head("/echo", headers={"X-API-Key": read_key}).status_code == 200

    def test_to_write_does_not_imply_to_read(self, api: APIClient, alice: User) -> None:
        key = _key(alice, "jobs:write")

        assert api.get("/echo", headers={"X-API-Key": key}).status_code == 403

    def test_is_not_asked_for_where_the_view_says_none(self, api: APIClient, read_key: str) -> None:
        assert api.put("/echo", headers={"X-API-Key": read_key}).status_code == 200

    def test_is_not_asked_for_a_method_that_the_view_has_not(self, api: APIClient, read_key: str) -> None:
        assert api.patch("/echo", headers={"X-API-Key": read_key}).status_code == 405
        assert api.options("/echo", headers={"X-API-Key": read_key}).status_code == 200

    def test_that_a_view_forgot_to_name_is_a_bug_and_no_open_door(self, api: APIClient, alice_key: str) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"EchoApi.required_scopes does not name DELETE"):
            api.delete("/echo", headers={"X-API-Key": alice_key})


@pytest.mark.urls("accounts.tests.echo_urls")
class TestSession:
    def test_of_a_person_has_all_scopes(self, alice: User) -> None:
        api = APIClient()
        api.force_login(alice)

        answers = [api.get("/echo"), api.post("/echo"), api.delete("/echo")]

        assert [answer.json() for answer in answers] == [{"account": str(alice.account.pk), "by_key": False}] * 3

    def test_without_a_csrf_token_may_read_but_not_write(self, api: APIClient, alice: User) -> None:
        api.force_login(alice)

        assert api.get("/echo").status_code == 200
        refusal = api.post("/echo")
        assert refusal.status_code == 403
        assert refusal.data["detail"].code == "csrf_failed"

    def test_of_somebody_who_was_deactivated_is_over(self, api: APIClient, alice: User) -> None:
        api.force_login(alice)
        alice.is_active = False
        alice.save()

        assert api.get("/echo").status_code == 401


class TestSchema:
    def test_lists_both_headers_and_the_session_as_alternatives(self) -> None:
        schema = SchemaGenerator(urlconf="accounts.tests.echo_urls").get_schema(request=None, public=True)

        schemes = schema["components"]["securitySchemes"]
        assert schemes["apiKeyBearer"]["scheme"] == "bearer"
        assert (schemes["apiKeyHeader"]["in"], schemes["apiKeyHeader"]["name"]) == ("header", "X-API-Key")
        assert schemes["session"]["in"] == "cookie"
        assert schema["paths"]["/echo"]["post"]["security"] == [
            {"apiKeyBearer": []},
            {"apiKeyHeader": []},
            {"session": []},
        ]


class TestSocket:
    def test_with_a_key_has_its_account(self, alice: User, alice_key: str) -> None:
        assert _connect(_scope(authorization=f"Bearer {alice_key}")) == alice.account
        assert _connect(_scope(x_api_key=alice_key)) == alice.account

    def test_with_a_session_has_the_persons_account(self, alice: User) -> None:
        assert _connect(_scope(user=alice, origin="http://localhost:8000")) == alice.account

    def test_with_neither_has_none(self, db: None) -> None:
        assert _connect(_scope(user=AnonymousUser())) is None
        assert _connect(_scope()) is None

    def test_with_a_bad_key_has_none_even_beside_a_good_session(self, alice: User) -> None:
        assert _connect(_scope(user=alice, x_api_key="img_live_nonsense")) is None
        assert _connect(_scope(user=alice, authorization="Bearer \xff")) is None

    def test_with_a_key_that_may_not_read_has_none(self, alice: User) -> None:
        assert _connect(_scope(user=alice, x_api_key=_key(alice, "jobs:write"))) is None

    def test_opened_by_another_sites_page_has_none(self, alice: User) -> None:
        assert _connect(_scope(user=alice, origin="https://evil.example")) is None
        assert _connect(_scope(user=alice, origin="null")) is None

    def test_finds_the_person_by_the_session_cookie(self, client: Client, alice: User, settings: Settings) -> None:
        client.force_login(alice)
        cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"

        assert _connect(_scope(cookie=cookie, origin="http://localhost:8000"), wrap=account_auth_stack) == alice.account

    def test_with_a_cookie_of_a_deactivated_person_has_none(
        self, client: Client, alice: User, settings: Settings
    ) -> None:
        client.force_login(alice)
        alice.is_active = False
        alice.save()
        cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"

        assert _connect(_scope(cookie=cookie), wrap=account_auth_stack) is None


def _key(person: User, *scopes: str) -> str:
    _, text = services.create_api_key(
        account=person.account, name="narrow", scopes=scopes, mode="live", created_by=person, now=NOW
    )
    return text


def _scope(user: object = None, **headers: str) -> dict[str, Any]:
    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "websocket", "path": "/", "headers": named, **({"user": user} if user else {})}


def _connect(scope: dict[str, Any], wrap: Any = ApiKeyAuthMiddleware) -> Account | None:
    seen: dict[str, Account | None] = {}

    async def consumer(scope: dict[str, Any], receive: object, send: object) -> None:
        seen["account"] = scope["account"]

    async_to_sync(wrap(consumer))(scope, None, None)
    return seen["account"]
