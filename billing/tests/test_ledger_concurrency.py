"""Many threads on one account, on the databases that the two profiles use."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from accounts.models import Account
from billing import errors, services
from billing.services import Balance
from tests.databases import default_database, in_threads, sqlite_file

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
THREADS = 16
CREDITS = 100


@pytest.fixture
def sqlite(tmp_path: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), default_database(sqlite_file(str(tmp_path / "ledger.sqlite3"))):
        yield


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def account(request: pytest.FixtureRequest) -> Account:
    """An account with 100 credits, in a database that threads can share."""
    request.getfixturevalue(request.param)
    assert connection.vendor.startswith(request.param)
    account = Account.objects.create(name="Busy")
    services.top_up(account=account, credits=CREDITS, reference="payment-1", now=NOW)
    return account


def held(account: Account, reference: str) -> bool:
    try:
        services.hold(account=account, credits=1, reference=reference, now=NOW)
    except (errors.InsufficientCredits, errors.AlreadyHeld):
        return False
    return True


def settled(settle: Callable[..., bool], reference: str) -> str:
    try:
        return settle.__name__ if settle(reference=reference, now=NOW) else "again"
    except errors.AlreadySettled as refusal:
        return f"lost to {refusal.outcome}"


class TestHoldsAtOnce:
    def test_are_accepted_for_exactly_the_credits_there_are(self, account: Account) -> None:
        holds = [partial(held, account, f"job-{number}") for number in range(3 * CREDITS)]

        answers = in_threads(THREADS, holds)

        assert sum(answers) == CREDITS
        assert services.balance(account) == Balance(available=0, held=CREDITS)
        assert services.audit(account).agrees

    def test_of_one_reference_are_accepted_once(self, account: Account) -> None:
        answers = in_threads(THREADS, [partial(held, account, "job-1")] * 64)

        assert sum(answers) == 1
        assert services.balance(account) == Balance(available=CREDITS - 1, held=1)
        assert services.audit(account).agrees


class TestOutcomesAtOnce:
    def test_are_one_for_each_hold(self, account: Account) -> None:
        references = [f"job-{number}" for number in range(20)]
        for reference in references:
            services.hold(account=account, credits=2, reference=reference, now=NOW)
        race = [services.capture, services.release] * 2

        answers = in_threads(THREADS, [partial(settled, settle, each) for each in references for settle in race])

        tally = Counter(answers)
        assert tally["capture"] + tally["release"] == len(references)
        assert services.balance(account) == Balance(available=CREDITS - 2 * tally["capture"], held=0)
        assert services.audit(account).agrees


class TestTopUpsAtOnce:
    def test_of_one_payment_add_it_once(self, account: Account) -> None:
        top_up = partial(services.top_up, account=account, credits=7, reference="payment-2", now=NOW)

        answers = in_threads(THREADS, [top_up] * 32)

        assert sum(answers) == 1
        assert services.balance(account).available == CREDITS + 7
        assert services.audit(account).agrees
