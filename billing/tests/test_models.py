from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from accounts.models import Account, User
from billing import services
from billing.errors import LedgerIsAppendOnly
from billing.models import CreditBalance, Kind, LedgerEntry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def entry(alice: User) -> LedgerEntry:
    services.top_up(account=alice.account, credits=10, reference="payment-1", now=NOW)
    return LedgerEntry.objects.get()


class TestLedgerEntry:
    def test_cannot_be_changed(self, entry: LedgerEntry) -> None:
        entry.note = "corrected"

        with pytest.raises(LedgerIsAppendOnly):
            entry.save()

    def test_cannot_be_deleted(self, entry: LedgerEntry) -> None:
        with pytest.raises(LedgerIsAppendOnly):
            entry.delete()

    def test_cannot_be_changed_or_deleted_in_bulk(self, entry: LedgerEntry) -> None:
        with pytest.raises(LedgerIsAppendOnly):
            LedgerEntry.objects.filter(pk=entry.pk).update(note="corrected")
        with pytest.raises(LedgerIsAppendOnly):
            LedgerEntry.objects.bulk_update([entry], ["note"])
        with pytest.raises(LedgerIsAppendOnly):
            LedgerEntry.objects.all().delete()

    def test_keeps_its_account_from_being_deleted(self, entry: LedgerEntry, alice: User) -> None:
        alice.delete()

        with pytest.raises(ProtectedError):
            entry.account.delete()

    @pytest.mark.parametrize("outcomes", [(Kind.CAPTURE, Kind.RELEASE), (Kind.RELEASE, Kind.CAPTURE)])
    def test_of_a_second_outcome_is_refused_by_the_database(self, alice: User, outcomes: tuple[Kind, Kind]) -> None:
        first, second = outcomes
        _insert(alice.account, first)

        with pytest.raises(IntegrityError), transaction.atomic():
            _insert(alice.account, second)

    def test_whose_change_does_not_fit_its_kind_is_refused_by_the_database(self, alice: User) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            LedgerEntry.objects.create(
                account=alice.account, kind=Kind.HOLD, amount=5, change=5, held_change=5, reference="job-1"
            )


class TestCreditBalance:
    def test_below_zero_is_refused_by_the_database(self, alice: User) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            CreditBalance.objects.create(account=alice.account, credits=-1)
        with pytest.raises(IntegrityError), transaction.atomic():
            CreditBalance.objects.create(account=alice.account, held=-1)


def _insert(account: Account, kind: str) -> None:
    spendable = 5 if kind is Kind.RELEASE else 0
    LedgerEntry.objects.create(
        account=account, kind=kind, amount=5, change=spendable, held_change=-5, reference="job-1", created_at=NOW
    )
