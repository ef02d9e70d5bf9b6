"""The operator's pages of people and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from accounts import services
from accounts.errors import InvalidApiKey
from accounts.models import ApiKey, User
from tests.cast import LONG_AGO

if TYPE_CHECKING:
    from django.http import HttpResponse

USERS, KEYS = "/admin/accounts/user/", "/admin/accounts/apikey/"
NEW_PASSWORD = "a lamp on the hill"


def person_form(person: User, **changes: object) -> dict[str, object]:
    form = {"email": person.email, "name": person.name, "account": person.account.pk, "is_active": "on"}
    return {**form, **changes}


def staff(person: User, *permissions: str) -> Client:
    person.is_staff = True
    person.save()
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(person)
    return client


class TestAPerson:
    def test_is_added_to_an_account_and_can_sign_in(self, operator: Client, client: Client, alice: User) -> None:
        form = {
            "email": "Dora@Example.com",
            "name": "Dora",
            "account": alice.account.pk,
            "usable_password": "true",
            "password1": NEW_PASSWORD,
            "password2": NEW_PASSWORD,
        }

        answer = operator.post(f"{USERS}add/", form)

        assert answer.status_code == 302
        dora = User.objects.get(email="dora@example.com")
        assert (dora.account, dora.is_staff) == (alice.account, False)
        assert client.login(username="dora@example.com", password=NEW_PASSWORD)

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"email": "ALICE@example.com"}, "Somebody signs in with this address already."),
            ({"account": ""}, "This field is required."),
            ({"password2": "another lamp"}, "The two password fields didn’t match."),
            ({"password1": "short", "password2": "short"}, "This password is too short."),
        ],
    )
    def test_that_cannot_be_is_refused_with_the_reason(
        self, operator: Client, alice: User, changes: dict[str, str], sentence: str
    ) -> None:
        form = {"email": "dora@example.com", "account": alice.account.pk, "usable_password": "true"}
        form |= {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}

        answer = operator.post(f"{USERS}add/", {**form, **changes})

        assert answer.status_code == 200
        assert sentence in answer.content.decode()
        assert not User.objects.filter(email="dora@example.com").exists()

    def test_is_given_another_password(self, operator: Client, client: Client, alice: User) -> None:
        form = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}

        answer = operator.post(f"{USERS}{alice.pk}/password/", form)

        assert answer.status_code == 302
        assert client.login(username=alice.email, password=NEW_PASSWORD)
        assert NEW_PASSWORD not in str(LogEntry.objects.values())

    def test_is_made_staff_and_kept_from_signing_in(self, operator: Client, alice: User) -> None:
        operator.post(f"{USERS}{alice.pk}/change/", person_form(alice, is_staff="on", is_active=""))

        alice.refresh_from_db()
        assert (alice.is_staff, alice.is_active) == (True, False)

    def test_is_never_deleted(self, operator: Client, alice: User) -> None:
        answer = operator.post(f"{USERS}{alice.pk}/delete/", {"post": "yes"})

        assert answer.status_code == 403
        assert User.objects.filter(pk=alice.pk).exists()


class TestStaffWhoMayEditPeople:
    def test_cannot_make_themselves_able_to_do_everything(self, charlie: User) -> None:
        editing = staff(charlie, "change_user", "view_user", "view_account")

        answer = editing.post(f"{USERS}{charlie.pk}/change/", person_form(charlie, name="C", is_superuser="on"))

        charlie.refresh_from_db()
        assert answer.status_code == 302
        assert (charlie.name, charlie.is_superuser) == ("C", False)

    def test_cannot_take_over_the_operator(self, charlie: User, olga: User) -> None:
        editing = staff(charlie, "change_user", "view_user", "view_account")
        form = {"usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}

        answers = [
            editing.post(f"{USERS}{olga.pk}/password/", form),
            editing.post(f"{USERS}{olga.pk}/change/", person_form(olga, email="mine@example.com")),
        ]

        assert [answer.status_code for answer in answers] == [403, 403]


class TestAKey:
    def revoke(self, operator: Client, **more: str) -> HttpResponse:
        chosen = {"action": "revoke", "_selected_action": str(ApiKey.objects.get().pk), **more}
        return operator.post(KEYS, chosen, follow=True)

    def test_is_revoked_only_when_that_was_confirmed(self, operator: Client, alice_key: str) -> None:
        answer = self.revoke(operator)

        assert "Revoke 1 API key?" in answer.content.decode()
        assert services.authenticate_key(alice_key, now=LONG_AGO)

    def test_that_was_revoked_opens_nothing_and_is_noted_once(self, operator: Client, alice_key: str) -> None:
        for _ in range(2):
            self.revoke(operator, confirmed="x")

        with pytest.raises(InvalidApiKey, match="revoked"):
            services.authenticate_key(alice_key, now=LONG_AGO)
        assert LogEntry.objects.get().change_message == "Revoked."

    def test_stays_open_for_staff_who_may_only_look(self, charlie: User, alice_key: str) -> None:
        self.revoke(staff(charlie, "view_apikey"), confirmed="x")

        assert services.authenticate_key(alice_key, now=LONG_AGO)

    @pytest.mark.parametrize("query", ["q=Prints", "q=alice@example.com", "revoked_at__isempty=1", "q=tests"])
    def test_is_found(self, operator: Client, alice_key: str, query: str) -> None:
        answer = operator.get(f"{KEYS}?{query}")

        assert set(answer.context["cl"].result_list) == {ApiKey.objects.get()}
        assert alice_key not in answer.content.decode()
