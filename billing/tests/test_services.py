from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import transaction

from accounts.models import Account, User
from billing import errors, services
from billing.models import LedgerEntry
from billing.services import Balance

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def account(alice: User) -> Account:
    """Alice's account, with 10 credits."""
    services.top_up(account=alice.account, credits=10, reference="payment-1", now=NOW)
    return alice.account


def hold(account: Account, amount: int = 4, reference: str = "job-1") -> None:
    services.hold(account=account, credits=amount, reference=reference, now=NOW)


class TestHold:
    def test_sets_credits_aside(self, account: Account) -> None:
        hold(account)

        assert services.balance(account) == Balance(available=6, held=4)
        assert services.charged("job-1") == 0

    def test_may_take_the_last_credit(self, account: Account) -> None:
        hold(account, 10)

        assert services.balance(account) == Balance(available=0, held=10)

    def test_says_what_is_needed_and_what_there_is_when_credits_are_short(self, account: Account) -> None:
        with pytest.raises(errors.InsufficientCredits, match="needs 11 credits and the account has 10") as refusal:
            hold(account, 11)

        assert (refusal.value.needed, refusal.value.available, refusal.value.code) == (11, 10, "insufficient_credits")
        assert services.balance(account) == Balance(available=10, held=0)
        assert [line.kind for line in services.statement(account)] == ["top_up"]

    def test_is_refused_to_an_account_that_never_had_credits(self, charlie: User) -> None:
        with pytest.raises(errors.InsufficientCredits):
            hold(charlie.account, 1)

    def test_takes_nothing_from_anybody_else(self, account: Account, charlie: User) -> None:
        services.grant(account=charlie.account, credits=3, reference="welcome-charlie", now=NOW)

        hold(account)

        assert services.balance(charlie.account) == Balance(available=3, held=0)

    def test_of_the_same_reference_twice_is_refused_and_takes_nothing(self, account: Account) -> None:
        hold(account)

        with pytest.raises(errors.AlreadyHeld):
            hold(account)

        assert services.balance(account) == Balance(available=6, held=4)

    def test_of_the_same_reference_twice_is_told_from_a_lack_of_credits(self, account: Account) -> None:
        hold(account, 10)

        with pytest.raises(errors.AlreadyHeld):
            hold(account, 10)

    def test_of_a_released_reference_is_refused(self, account: Account) -> None:
        hold(account)
        services.release(reference="job-1", now=NOW)

        with pytest.raises(errors.AlreadyHeld):
            hold(account)

    @pytest.mark.parametrize("amount", [0, -3])
    def test_of_no_credits_is_a_bug(self, account: Account, amount: int) -> None:
        with pytest.raises(ValueError, match="positive"):
            hold(account, amount)

    def test_goes_when_the_callers_transaction_does(self, account: Account) -> None:
        with transaction.atomic():
            hold(account)
            transaction.set_rollback(True)

        assert services.balance(account) == Balance(available=10, held=0)

    def test_that_is_refused_leaves_the_callers_transaction_usable(self, account: Account) -> None:
        with transaction.atomic():
            with pytest.raises(errors.InsufficientCredits):
                hold(account, 11)
            hold(account, 10, reference="job-2")

        assert services.balance(account) == Balance(available=0, held=10)


class TestCapture:
    def test_spends_what_was_held(self, account: Account) -> None:
        hold(account)

        assert services.capture(reference="job-1", now=NOW) is True

        assert services.balance(account) == Balance(available=6, held=0)
        assert services.charged("job-1") == 4

    def test_twice_charges_once(self, account: Account) -> None:
        hold(account)
        services.capture(reference="job-1", now=NOW)

        assert services.capture(reference="job-1", now=NOW) is False

        assert services.balance(account) == Balance(available=6, held=0)

    def test_after_a_release_is_refused_and_charges_nothing(self, account: Account) -> None:
        hold(account)
        services.release(reference="job-1", now=NOW)

        with pytest.raises(errors.AlreadySettled) as refusal:
            services.capture(reference="job-1", now=NOW)

        assert refusal.value.outcome == "release"
        assert services.balance(account) == Balance(available=10, held=0)
        assert services.charged("job-1") == 0

    def test_of_what_was_never_held_is_refused(self, account: Account) -> None:
        with pytest.raises(errors.NothingHeld):
            services.capture(reference="job-9", now=NOW)


class TestRelease:
    def test_gives_back_what_was_held(self, account: Account) -> None:
        hold(account)

        assert services.release(reference="job-1", now=NOW) is True

        assert services.balance(account) == Balance(available=10, held=0)

    def test_twice_gives_back_once(self, account: Account) -> None:
        hold(account)
        services.release(reference="job-1", now=NOW)

        assert services.release(reference="job-1", now=NOW) is False

        assert services.balance(account) == Balance(available=10, held=0)

    def test_after_a_capture_is_refused_and_gives_back_nothing(self, account: Account) -> None:
        hold(account)
        services.capture(reference="job-1", now=NOW)

        with pytest.raises(errors.AlreadySettled) as refusal:
            services.release(reference="job-1", now=NOW)

        assert refusal.value.outcome == "capture"
        assert services.balance(account) == Balance(available=6, held=0)

    def test_of_what_was_never_held_is_refused(self, account: Account) -> None:
        with pytest.raises(errors.NothingHeld):
            services.release(reference="job-9", now=NOW)


@pytest.mark.parametrize("add", [services.top_up, services.grant])
class TestTopUpAndGrant:
    def test_add_credits(self, add: Callable[..., bool], alice: User) -> None:
        assert add(account=alice.account, credits=5, reference="gift-1", now=NOW, note="Welcome") is True

        assert services.balance(alice.account) == Balance(available=5, held=0)
        assert services.statement(alice.account)[0].note == "Welcome"

    def test_twice_by_one_reference_add_once(self, add: Callable[..., bool], alice: User) -> None:
        add(account=alice.account, credits=5, reference="gift-1", now=NOW)

        assert add(account=alice.account, credits=5, reference="gift-1", now=NOW) is False

        assert services.balance(alice.account).available == 5

    def test_refuse_a_reference_that_meant_something_else(
        self, add: Callable[..., bool], alice: User, charlie: User
    ) -> None:
        add(account=alice.account, credits=5, reference="gift-1", now=NOW)

        with pytest.raises(errors.ReferenceTaken):
            add(account=alice.account, credits=6, reference="gift-1", now=NOW)
        with pytest.raises(errors.ReferenceTaken):
            add(account=charlie.account, credits=5, reference="gift-1", now=NOW)

        assert services.balance(alice.account).available == 5
        assert services.balance(charlie.account).available == 0

    def test_of_no_credits_are_a_bug(self, add: Callable[..., bool], alice: User) -> None:
        with pytest.raises(ValueError, match="positive"):
            add(account=alice.account, credits=0, reference="gift-1", now=NOW)


class TestStatement:
    def test_lists_the_last_lines_newest_first(self, account: Account) -> None:
        hold(account)
        services.capture(reference="job-1", now=NOW)

        lines = services.statement(account, limit=2)

        assert [(line.kind, line.amount, line.change) for line in lines] == [("capture", 4, 0), ("hold", 4, -4)]

    def test_shows_nothing_of_anybody_else(self, account: Account, charlie: User) -> None:
        assert services.statement(charlie.account) == []


class TestAudit:
    def test_agrees_for_an_account_that_never_had_credits(self, charlie: User) -> None:
        assert services.audit(charlie.account).agrees

    def test_tells_a_balance_that_its_ledger_does_not_explain(self, account: Account) -> None:
        account.credit_balance.credits += 1
        account.credit_balance.save()

        audit = services.audit(account)

        assert not audit.agrees
        assert (audit.balance.available, audit.ledger.available) == (11, 10)

    def test_counts_every_line_of_a_long_ledger_once(self, account: Account) -> None:
        for number in range(5):
            hold(account, 2, reference=f"job-{number}")
        services.capture(reference="job-0", now=NOW)
        services.release(reference="job-1", now=NOW)

        audit = services.audit(account)

        assert audit.agrees
        assert audit.ledger == Balance(available=2, held=6)
        assert LedgerEntry.objects.count() == 8
