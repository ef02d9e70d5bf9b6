"""
Credits: what an account has, and the ledger that explains it.

The ledger is the truth and only grows; the balance is its running sum, kept so that one conditional UPDATE can refuse
what an account cannot pay. For every account, at every commit:

    sum of change over its entries == CreditBalance.credits  (may be spent)
    sum of held_change             == CreditBalance.held     (promised to work that has not ended)
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from django.db import models
from django.utils import timezone

from accounts.models import Account
from billing.errors import LedgerIsAppendOnly


class Kind(models.TextChoices):
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    TOP_UP = "top_up"
    GRANT = "grant"


# What one credit of an entry does to (change, held_change); a constraint holds every row to it.
SIGNS: Mapping[str, tuple[int, int]] = {
    Kind.HOLD: (-1, +1),
    Kind.CAPTURE: (0, -1),
    Kind.RELEASE: (+1, -1),
    Kind.TOP_UP: (+1, 0),
    Kind.GRANT: (+1, 0),
}


class CreditBalance(models.Model):
    """An account without a row has no credits and never had any."""

    account = models.OneToOneField(Account, on_delete=models.PROTECT, primary_key=True, related_name="credit_balance")
    credits = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(credits__gte=0), name="billing_balance_credits_not_negative"),
            models.CheckConstraint(condition=models.Q(held__gte=0), name="billing_balance_held_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.credits} credits, {self.held} held"


class LedgerQuerySet(models.QuerySet["LedgerEntry"]):
    def update(self, **kwargs: Any) -> NoReturn:  # noqa: ANN401, ARG002
        raise LedgerIsAppendOnly

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401, ARG002
        raise LedgerIsAppendOnly

    def delete(self) -> NoReturn:
        raise LedgerIsAppendOnly


class LedgerEntry(models.Model):
    """
    One movement of credits.

    kind      amount  change   held_change
    hold      n       -n       +n           work was accepted
    capture   n        0       -n           it was done: the held credits are spent
    release   n       +n       -n           it was not: they come back
    top_up    n       +n        0           bought
    grant     n       +n        0           given
    """

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="ledger_entries")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount = models.BigIntegerField()
    change = models.BigIntegerField()
    held_change = models.BigIntegerField()
    reference = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    note = models.CharField(max_length=200, blank=True)

    objects = LedgerQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [models.Index(fields=["account", "-id"], name="billing_ledger_statement")]
        constraints = [
            models.UniqueConstraint(fields=["reference", "kind"], name="billing_ledger_one_of_a_kind"),
            # Captured or released, never both, whatever two processes do at once.
            models.UniqueConstraint(
                fields=["reference"],
                condition=models.Q(kind__in=[Kind.CAPTURE, Kind.RELEASE]),
                name="billing_ledger_one_outcome",
            ),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="billing_ledger_amount_positive"),
            models.CheckConstraint(
                condition=(
                    models.Q(kind=Kind.HOLD, change=-models.F("amount"), held_change=models.F("amount"))
                    | models.Q(kind=Kind.CAPTURE, change=0, held_change=-models.F("amount"))
                    | models.Q(kind=Kind.RELEASE, change=models.F("amount"), held_change=-models.F("amount"))
                    | models.Q(kind__in=[Kind.TOP_UP, Kind.GRANT], change=models.F("amount"), held_change=0)
                ),
                name="billing_ledger_change_follows_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount} for {self.reference}"

    def save(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        if not self._state.adding:
            raise LedgerIsAppendOnly
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401, ARG002
        raise LedgerIsAppendOnly
