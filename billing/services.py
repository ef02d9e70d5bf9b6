"""
Moving credits: hold, then capture or release; grant and top up.

Every function joins the caller's transaction and undoes all of its own writes when it raises. Nothing here asks the
network. An entry is inserted before the balance is updated: the unique constraint then stops a repeat before it can
touch the balance, and the balance's row, for which all work of one account queues up, is locked for the shortest time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Coalesce

from accounts.models import Account
from billing import errors
from billing.models import SIGNS, CreditBalance, Kind, LedgerEntry


@dataclass(frozen=True)
class Balance:
    """`available` may be spent; `held` is promised to work that has not ended."""

    available: int
    held: int


@dataclass(frozen=True)
class StatementLine:
    """One line of an account's statement; `change` is what it did to the spendable credits."""

    kind: str
    amount: int
    change: int
    reference: str
    created_at: datetime
    note: str


@dataclass(frozen=True)
class Audit:
    """What the account's balance says and what its ledger adds up to."""

    balance: Balance
    ledger: Balance

    @property
    def agrees(self) -> bool:
        return self.balance == self.ledger and min(self.balance.available, self.balance.held) >= 0


def hold(*, account: Account, credits: int, reference: str, now: datetime) -> None:  # noqa: A002
    """
    Set credits aside for the work called `reference`.

    Raises AlreadyHeld when the reference held credits before (even if they came back), InsufficientCredits when the
    account cannot spend that much, ValueError when `credits` is not positive; then nothing is written.
    """
    entry = _entry(Kind.HOLD, account_id=account.pk, amount=credits, reference=reference, now=now)
    with transaction.atomic():
        try:
            entry.save(force_insert=True)
        except IntegrityError as error:
            raise errors.AlreadyHeld(reference) from error
        # The check and the change are one statement: of many at once, no two spend the same credit.
        paid = CreditBalance.objects.filter(account=account, credits__gte=credits).update(
            credits=F("credits") - credits, held=F("held") + credits
        )
        if not paid:
            raise errors.InsufficientCredits(needed=credits, available=balance(account).available)


def capture(*, reference: str, now: datetime) -> bool:
    """
    Spend the credits held for `reference`; return False when that was done before.

    Raises NothingHeld, AlreadySettled when the credits were released instead: the first outcome stands.
    """
    return _settle(Kind.CAPTURE, reference, now)


def release(*, reference: str, now: datetime) -> bool:
    """
    Give back the credits held for `reference`; return False when that was done before.

    Raises NothingHeld, AlreadySettled when the credits were captured instead: the first outcome stands.
    """
    return _settle(Kind.RELEASE, reference, now)


def top_up(*, account: Account, credits: int, reference: str, now: datetime, note: str = "") -> bool:  # noqa: A002
    """
    Add credits that were bought; return False when this reference added them before.

    Raises ReferenceTaken when it added other credits or to another account, ValueError when `credits` is not positive.
    """
    return _deposit(_entry(Kind.TOP_UP, account_id=account.pk, amount=credits, reference=reference, now=now, note=note))


def grant(*, account: Account, credits: int, reference: str, now: datetime, note: str = "") -> bool:  # noqa: A002
    """Add credits that were given; otherwise as `top_up`."""
    return _deposit(_entry(Kind.GRANT, account_id=account.pk, amount=credits, reference=reference, now=now, note=note))


def balance(account: Account) -> Balance:
    """Return what the account has; one row, however long its ledger."""
    row = CreditBalance.objects.filter(account=account).first()
    return Balance(available=row.credits, held=row.held) if row else Balance(available=0, held=0)


def charged(reference: str) -> int:
    """Return the credits that the work called `reference` has cost: 0 until, and unless, they are captured."""
    entry = LedgerEntry.objects.filter(reference=reference, kind=Kind.CAPTURE).first()
    return entry.amount if entry else 0


def statement(account: Account, limit: int = 50) -> list[StatementLine]:
    """Return the account's last ledger lines, newest first."""
    return [_line(entry) for entry in LedgerEntry.objects.filter(account=account).order_by("-id")[:limit]]


def movements(reference: str) -> list[StatementLine]:
    """Return the ledger lines of one reference, oldest first."""
    return [_line(entry) for entry in LedgerEntry.objects.filter(reference=reference).order_by("id")]


def outcomes(references: Iterable[str]) -> dict[str, list[tuple[str, int]]]:
    """Return by reference the kind and amount of each capture and release; one that has none is left out."""
    found: dict[str, list[tuple[str, int]]] = {}
    ends = LedgerEntry.objects.filter(reference__in=list(references), kind__in=[Kind.CAPTURE, Kind.RELEASE])
    for reference, kind, amount in ends.values_list("reference", "kind", "amount"):
        found.setdefault(reference, []).append((kind, amount))
    return found


def audit(account: Account) -> Audit:
    """Add up the account's whole ledger beside its balance, in one statement and so of one moment."""
    return _audit(_sums(Account.objects.filter(pk=account.pk)).get())


def disagreements() -> dict[str, Audit]:
    """Audit every account, in one statement; return those whose ledger and balance disagree, by the account's name."""
    audits = {f"{sums['name']} ({sums['pk']})": _audit(sums) for sums in _sums(Account.objects.all())}
    return {name: found for name, found in audits.items() if not found.agrees}


def _sums(accounts: QuerySet[Account]) -> QuerySet[Any, Any]:
    return accounts.annotate(
        available=Coalesce(F("credit_balance__credits"), 0),
        held=Coalesce(F("credit_balance__held"), 0),
        ledger_available=Coalesce(Sum("ledger_entries__change"), 0),
        ledger_held=Coalesce(Sum("ledger_entries__held_change"), 0),
    ).values("pk", "name", "available", "held", "ledger_available", "ledger_held")


def _audit(sums: Mapping[str, Any]) -> Audit:
    return Audit(
        balance=Balance(available=sums["available"], held=sums["held"]),
        ledger=Balance(available=sums["ledger_available"], held=sums["ledger_held"]),
    )


def _line(entry: LedgerEntry) -> StatementLine:
    return StatementLine(
        kind=entry.kind,
        amount=entry.amount,
        change=entry.change,
        reference=entry.reference,
        created_at=entry.created_at,
        note=entry.note,
    )


def _settle(kind: Kind, reference: str, now: datetime) -> bool:
    held = LedgerEntry.objects.filter(reference=reference, kind=Kind.HOLD).first()
    if held is None:
        raise errors.NothingHeld(reference)
    entry = _entry(kind, account_id=held.account_id, amount=held.amount, reference=reference, now=now)
    if _add_up(entry):
        return True
    settled = LedgerEntry.objects.get(reference=reference, kind__in=[Kind.CAPTURE, Kind.RELEASE])
    if settled.kind != kind:
        raise errors.AlreadySettled(reference, outcome=settled.kind)
    return False


def _deposit(entry: LedgerEntry) -> bool:
    with transaction.atomic():
        CreditBalance.objects.get_or_create(account_id=entry.account_id)
        if _add_up(entry):
            return True
    first = LedgerEntry.objects.get(reference=entry.reference, kind=entry.kind)
    if (first.account_id, first.amount) != (entry.account_id, entry.amount):
        raise errors.ReferenceTaken(entry.reference)
    return False


def _entry(kind: Kind, *, account_id: UUID, amount: int, reference: str, now: datetime, note: str = "") -> LedgerEntry:
    if amount < 1:
        raise ValueError(f"Credits move in positive amounts, not {amount}.")
    spendable, held = SIGNS[kind]
    return LedgerEntry(
        account_id=account_id,
        kind=kind,
        amount=amount,
        change=spendable * amount,
        held_change=held * amount,
        reference=reference,
        created_at=now,
        note=note,
    )


def _add_up(entry: LedgerEntry) -> bool:
    """Insert the entry and move the balance by it; return False if a constraint says that it is there already."""
    try:
        # A savepoint of its own: PostgreSQL runs nothing more in a transaction after a refused statement.
        with transaction.atomic():
            entry.save(force_insert=True)
            CreditBalance.objects.filter(account_id=entry.account_id).update(
                credits=F("credits") + entry.change, held=F("held") + entry.held_change
            )
    except IntegrityError:
        return False
    return True
