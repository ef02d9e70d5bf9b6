"""The operator's page of an account: its numbers, its limits, credits granted."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Account, Plan, User
from billing import services
from billing.models import CreditBalance, LedgerEntry
from jobs.limits import CEILING, limits_of
from tests.cast import LONG_AGO

if TYPE_CHECKING:
    from django.http import HttpResponse

ACCOUNTS = "/admin/accounts/account/"
EMPTY_INLINES = {
    f"{inline}-{field}": "0" for inline in ("people", "api_keys") for field in ("TOTAL_FORMS", "INITIAL_FORMS")
}


@pytest.fixture
def account(alice: User) -> Account:
    services.grant(account=alice.account, credits=10, reference="start", now=LONG_AGO)
    return alice.account


def save(operator: Client, account: Account, **changes: object) -> HttpResponse:
    form = {"name": account.name, "plan": account.plan, **EMPTY_INLINES, **changes}
    return operator.post(f"{ACCOUNTS}{account.pk}/change/", form)


def grant(operator: Client, account: Account, **form: object) -> HttpResponse:
    return operator.post(f"{ACCOUNTS}{account.pk}/grant/", {"amount": 5, "reason": "sorry", **form}, follow=True)


class TestTheList:
    def test_tells_people_and_credits_of_each_account(self, operator: Client, account: Account, bob: User) -> None:
        services.hold(account=account, credits=3, reference="job", now=LONG_AGO)

        rows = operator.get(ACCOUNTS).context["cl"].result_list

        row = next(row for row in rows if row == account)
        assert (row.row_people, row.row_balance.credits, row.row_balance.held, row.row_jobs) == (2, 7, 3, 0)

    def test_finds_an_account_by_its_people(self, operator: Client, account: Account, charlie: User) -> None:
        answer = operator.get(ACCOUNTS, {"q": "alice@example"})

        assert set(answer.context["cl"].result_list) == {account}


class TestPlanAndLimits:
    def test_are_changed_and_hold_from_then_on(self, operator: Client, account: Account, olga: User) -> None:
        answer = save(operator, account, plan="pro", max_unfinished_jobs=7, max_upload_megabytes=3)

        account.refresh_from_db()
        limits = limits_of(account)
        assert answer.status_code == 302
        assert account.plan == Plan.PRO
        assert (limits.max_unfinished_jobs, limits.max_bytes) == (7, 3 * 1024 * 1024)
        entry = LogEntry.objects.get(user=olga)
        assert "Unfinished jobs at once" in entry.get_change_message()

    def test_beyond_what_the_site_takes_are_refused(self, operator: Client, account: Account) -> None:
        answer = save(operator, account, max_input_megapixels=51)

        assert "At most 50 megapixels" in answer.content.decode()
        account.refresh_from_db()
        assert limits_of(account) == CEILING

    @pytest.mark.parametrize("field", ["max_upload_megabytes", "max_submits_per_minute"])
    @pytest.mark.parametrize("value", ["0", "-1", "many"])
    def test_of_nothing_are_refused(self, operator: Client, account: Account, field: str, value: str) -> None:
        answer = save(operator, account, **{field: value})

        assert answer.status_code == 200
        account.refresh_from_db()
        assert getattr(account, field) is None


class TestAGrant:
    def test_adds_credits_with_its_reason_in_the_ledger(self, operator: Client, account: Account, olga: User) -> None:
        answer = grant(operator, account, token=uuid4())

        entry = LedgerEntry.objects.latest("id")
        assert services.balance(account).available == 15
        assert (entry.kind, entry.amount, entry.note) == ("grant", 5, "sorry")
        assert [str(message) for message in answer.context["messages"]] == ["5 credits granted to Alice's Prints."]
        assert LogEntry.objects.get(user=olga).change_message.startswith("Granted 5 credits")

    def test_by_a_double_click_adds_once(self, operator: Client, account: Account) -> None:
        token = uuid4()

        answers = [grant(operator, account, token=token) for _ in range(2)]

        assert services.balance(account).available == 15
        assert "had been granted already" in answers[1].content.decode()
        assert services.audit(account).agrees

    def test_of_another_amount_by_the_same_form_adds_nothing(self, operator: Client, account: Account) -> None:
        token = uuid4()
        grant(operator, account, token=token)

        answer = grant(operator, account, token=token, amount=500)

        assert services.balance(account).available == 15
        assert "has granted other credits before" in answer.content.decode()

    @pytest.mark.parametrize(
        "wrong", [{"amount": "0"}, {"amount": "-5"}, {"amount": ""}, {"reason": ""}, {"token": "x"}, {"amount": 10**18}]
    )
    def test_that_makes_no_sense_is_refused(self, operator: Client, account: Account, wrong: dict[str, object]) -> None:
        answer = grant(operator, account, **{"token": uuid4(), **wrong})

        assert answer.status_code == 200
        assert 'class="error"' in answer.content.decode()
        assert services.balance(account).available == 10

    def test_is_not_for_staff_who_may_only_change_accounts(self, account: Account, charlie: User) -> None:
        charlie.is_staff = True
        charlie.save()
        charlie.user_permissions.set(Permission.objects.filter(codename__in=["change_account", "view_account"]))
        client = Client()
        client.force_login(charlie)

        answer = grant(client, account, token=uuid4())

        assert answer.status_code == 403
        assert services.balance(account).available == 10
        assert "Grant credits" not in client.get(f"{ACCOUNTS}{account.pk}/change/").content.decode()

    def test_to_no_account_leads_back(self, operator: Client, db: None) -> None:
        assert operator.get(f"{ACCOUNTS}{uuid4()}/grant/").status_code == 302


class TestTheAudit:
    def test_agrees_in_a_sentence(self, operator: Client, account: Account) -> None:
        assert "The ledger adds up to every balance." in operator.get("/admin/billing/creditbalance/").content.decode()

    def test_names_the_account_whose_balance_is_wrong(self, operator: Client, account: Account) -> None:
        CreditBalance.objects.filter(account=account).update(credits=99)

        page = operator.get("/admin/billing/creditbalance/").content.decode()
        own = operator.get(f"{ACCOUNTS}{account.pk}/change/").content.decode()

        assert "balance 99 and 0 held, ledger 10 and 0 held" in page
        assert "The ledger adds up to 10 credits and 0 held: they disagree." in own

    @pytest.mark.parametrize(
        ("query", "found"), [("q=sta", 1), ("q=other", 0), ("kind__exact=hold", 0), ("kind__exact=grant", 1)]
    )
    def test_line_is_found(self, operator: Client, account: Account, query: str, found: int) -> None:
        answer = operator.get(f"/admin/billing/ledgerentry/?{query}")

        assert len(answer.context["cl"].result_list) == found
