"""
What can go wrong with credits.

BillingError
├── InsufficientCredits  the account cannot spend that much now; carries needed and available
├── AlreadyHeld          this reference held credits before
├── NothingHeld          this reference never held credits, so there is nothing to settle
├── AlreadySettled       the hold ended the other way; carries the outcome that stands
├── ReferenceTaken       a top-up or grant repeats a reference with another account or amount
└── UnknownOperation     the price table has no such row

LedgerIsAppendOnly is a bug, not an answer: somebody tried to change or delete a line of the ledger.
"""

from typing import ClassVar


class BillingError(Exception):
    """The caller's fault; `code` is stable, the sentence may change."""

    code: ClassVar[str] = "billing_error"


class InsufficientCredits(BillingError):
    code = "insufficient_credits"

    def __init__(self, *, needed: int, available: int) -> None:
        super().__init__(f"This needs {needed} credits and the account has {available}.")
        self.needed = needed
        self.available = available


class AlreadyHeld(BillingError):
    code = "already_held"

    def __init__(self, reference: str) -> None:
        super().__init__(f"Credits were held for {reference} before.")


class NothingHeld(BillingError):
    code = "nothing_held"

    def __init__(self, reference: str) -> None:
        super().__init__(f"No credits were ever held for {reference}.")


class AlreadySettled(BillingError):
    code = "already_settled"

    def __init__(self, reference: str, *, outcome: str) -> None:
        super().__init__(f"The credits held for {reference} were settled before, by {outcome}.")
        self.outcome = outcome


class ReferenceTaken(BillingError):
    code = "reference_taken"

    def __init__(self, reference: str) -> None:
        super().__init__(f"{reference} added credits before, to another account or another amount of them.")


class UnknownOperation(BillingError):
    code = "unknown_operation"

    def __init__(self, operation: str) -> None:
        super().__init__(f"There is no price for {operation!r}.")


class LedgerIsAppendOnly(RuntimeError):
    def __init__(self) -> None:
        super().__init__("A ledger entry is never changed or deleted; add one that corrects it.")
