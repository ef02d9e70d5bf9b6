import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, User
from accounts.throttle import sign_ins
from tests.cast import PASSWORD

SIGN_IN = "/accounts/login/"
KEYS = "/account/"
NEW_KEY = {"name": "nightly import", "scopes": ["jobs:read"]}


@pytest.fixture(autouse=True)
def _no_failures_so_far() -> Iterator[None]:
    sign_ins.forget_all()
    yield
    sign_ins.forget_all()


class TestSignIn:
    def test_by_email_in_any_case_leads_home(self, client: Client, alice: User) -> None:
        answer = client.post(SIGN_IN, {"username": "Alice@Example.com", "password": PASSWORD})

        assert (answer.status_code, answer["Location"]) == (302, reverse("jobs:home"))
        assert client.session["_auth_user_id"] == str(alice.pk)

    def test_leads_back_to_the_page_that_asked_for_it(self, client: Client, alice: User) -> None:
        page = client.get(KEYS, follow=True)
        assert 'name="next" value="/account/"' in page.content.decode()

        answer = client.post(SIGN_IN, {"username": alice.email, "password": PASSWORD, "next": KEYS})

        assert answer["Location"] == KEYS

    def test_leads_to_no_other_site(self, client: Client, alice: User) -> None:
        answer = client.post(SIGN_IN, {"username": alice.email, "password": PASSWORD, "next": "https://evil.example"})

        assert answer["Location"] == reverse("jobs:home")

    @pytest.mark.parametrize(("email", "password"), [("alice@example.com", "wrong"), ("nobody@example.com", PASSWORD)])
    def test_says_the_same_of_a_wrong_password_and_an_unknown_address(
        self, client: Client, alice: User, email: str, password: str
    ) -> None:
        answer = client.post(SIGN_IN, {"username": email, "password": password})

        assert answer.status_code == 200
        assert "E-mail and password do not match." in answer.content.decode()
        assert "_auth_user_id" not in client.session

    @pytest.mark.parametrize("form", [{}, {"username": "alice"}, {"username": "a\0b", "password": "x"}])
    def test_survives_a_form_with_holes(self, client: Client, db: None, form: dict[str, str]) -> None:
        assert client.post(SIGN_IN, form).status_code == 200

    def test_is_closed_after_five_failures_even_to_the_right_password(self, client: Client, alice: User) -> None:
        for _ in range(5):
            client.post(SIGN_IN, {"username": alice.email, "password": ""})

        answer = client.post(SIGN_IN, {"username": alice.email, "password": PASSWORD})

        assert answer.status_code == 429
        assert 0 < int(answer["Retry-After"]) <= 900
        assert "Too many failed sign-ins" in answer.content.decode()
        assert "_auth_user_id" not in client.session

    def test_by_somebody_signed_in_leads_home(self, client: Client, alice: User) -> None:
        client.force_login(alice)

        assert client.get(SIGN_IN)["Location"] == reverse("jobs:home")

    def test_asks_for_a_csrf_token(self, alice: User) -> None:
        client = Client(enforce_csrf_checks=True)

        assert client.post(SIGN_IN, {"username": alice.email, "password": PASSWORD}).status_code == 403


class TestSignOut:
    def test_ends_the_session(self, client: Client, alice: User) -> None:
        client.force_login(alice)

        answer = client.post("/accounts/logout/")

        assert answer["Location"] == SIGN_IN
        assert client.get(KEYS).status_code == 302

    def test_is_not_done_by_a_link(self, client: Client, alice: User) -> None:
        client.force_login(alice)

        assert client.get("/accounts/logout/").status_code == 405


class TestKeysPage:
    def test_asks_strangers_to_sign_in(self, client: Client, db: None) -> None:
        answer = client.get(KEYS)

        assert (answer.status_code, answer["Location"]) == (302, f"{SIGN_IN}?next={KEYS}")
        assert client.post(KEYS, NEW_KEY).status_code == 302
        assert not ApiKey.objects.exists()

    def test_shows_a_new_key_once_and_lets_nothing_keep_it(self, client: Client, alice: User) -> None:
        client.force_login(alice)

        answer = client.post(KEYS, NEW_KEY)

        (text,) = re.findall(r"img_live_\w{10}_\w{38}", answer.content.decode())
        assert answer.status_code == 201
        assert "no-store" in answer["Cache-Control"]
        page = client.get(KEYS).content.decode()
        assert text not in page
        assert text.rsplit("_", 1)[0] in page
        assert "nightly import" in page

    def test_shows_the_keys_of_the_account_to_all_its_people_and_to_nobody_else(
        self, client: Client, alice_key: str, bob: User, charlie: User
    ) -> None:
        prefix = alice_key.rsplit("_", 1)[0]

        client.force_login(bob)
        assert prefix in client.get(KEYS).content.decode()

        client.force_login(charlie)
        assert prefix not in client.get(KEYS).content.decode()

    @pytest.mark.parametrize("change", [{"name": ""}, {"scopes": []}, {"scopes": ["jobs:delete"]}, {"name": "x" * 101}])
    def test_refuses_a_bad_form(self, client: Client, alice: User, change: dict[str, object]) -> None:
        client.force_login(alice)

        assert client.post(KEYS, NEW_KEY | change).status_code == 422
        assert not ApiKey.objects.exists()

    def test_makes_no_test_keys_which_would_be_charged_like_any_other(self, client: Client, alice: User) -> None:
        client.force_login(alice)

        client.post(KEYS, NEW_KEY | {"mode": "test"})

        assert [key.mode for key in ApiKey.objects.all()] == ["live"]

    def test_escapes_a_keys_name(self, client: Client, alice: User) -> None:
        client.force_login(alice)

        page = client.post(KEYS, NEW_KEY | {"name": "<script>alert(1)</script>"}).content.decode()

        assert "<script>alert" not in page


class TestRevoke:
    def test_closes_the_key(self, client: Client, alice: User, alice_key: str) -> None:
        client.force_login(alice)
        key = ApiKey.objects.get()

        answer = client.post(f"/account/keys/{key.pk}/revoke/", follow=True)

        assert answer.redirect_chain == [(KEYS, 302)]
        assert "revoked" in answer.content.decode()
        key.refresh_from_db()
        assert key.revoked_at

    def test_twice_is_no_error(self, client: Client, alice: User, alice_key: str) -> None:
        client.force_login(alice)
        path = f"/account/keys/{ApiKey.objects.get().pk}/revoke/"

        assert [client.post(path).status_code for _ in range(2)] == [302, 302]

    def test_finds_no_key_of_somebody_else(self, client: Client, alice_key: str, charlie: User) -> None:
        client.force_login(charlie)
        key = ApiKey.objects.get()

        assert client.post(f"/account/keys/{key.pk}/revoke/").status_code == 404
        assert client.post(f"/account/keys/{uuid4()}/revoke/").status_code == 404
        key.refresh_from_db()
        assert key.revoked_at is None

    def test_is_not_done_by_a_link_or_a_stranger(self, client: Client, alice: User, alice_key: str) -> None:
        path = f"/account/keys/{ApiKey.objects.get().pk}/revoke/"

        assert client.post(path).status_code == 302
        client.force_login(alice)
        assert client.get(path).status_code == 405
        assert ApiKey.objects.get().revoked_at is None
