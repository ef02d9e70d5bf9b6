from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.contrib import admin
from django.urls import reverse

from accounts.models import ApiKey, User
from billing.models import CreditBalance, LedgerEntry
from jobs.models import Job
from jobs.tests.conftest import NOW, World

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Account

NAMES = [f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry]


def pages() -> list[str]:
    lists = [reverse(f"admin:{name}_changelist") for name in NAMES]
    others = [reverse("admin:index"), reverse("admin:accounts_user_add"), reverse("admin:accounts_account_add")]
    return [*lists, *others]


@pytest.fixture
def rows(adapted: World, rich: Account, alice_key: str) -> list[Job]:
    """Some of everything: a queued, a cancelled and a failed job, people, keys, credits."""
    queued, cancelled = adapted.submit(rich), adapted.submit(rich)
    adapted.service.cancel(cancelled, now=NOW)
    return [queued, cancelled]


@pytest.fixture
def operator(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


class TestEveryPage:
    @pytest.mark.parametrize("page", pages())
    def test_sends_a_stranger_to_the_sign_in_of_the_site(self, client: Client, db: None, page: str) -> None:
        answer = client.get(page, follow=True)

        assert answer.redirect_chain[-1][0] == f"/accounts/login/?next={page}"

    @pytest.mark.parametrize("page", pages())
    def test_refuses_a_person_who_is_not_staff(self, client: Client, alice: User, page: str) -> None:
        client.force_login(alice)

        answers = [client.get(page), client.post(page, {"action": "cancel", "_selected_action": str(uuid4())})]

        assert [answer.status_code for answer in answers] == [403, 403]

    @pytest.mark.parametrize("page", pages())
    def test_renders_with_rows_for_the_operator(self, operator: Client, rows: list[Job], page: str) -> None:
        answer = operator.get(page)

        assert answer.status_code == 200
        assert "'unsafe-eval'" in answer["Content-Security-Policy"]


class TestThePageOfOneRow:
    @pytest.mark.parametrize("model", [Job, LedgerEntry, CreditBalance, ApiKey, User], ids=lambda model: model.__name__)
    def test_renders(self, operator: Client, rows: list[Job], model: type) -> None:
        row = model.objects.order_by("pk").first()
        name = f"{model._meta.app_label}_{model._meta.model_name}"

        answer = operator.get(reverse(f"admin:{name}_change", args=[row.pk]))

        assert answer.status_code == 200
