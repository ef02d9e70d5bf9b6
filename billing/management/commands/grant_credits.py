"""Give credits to an account, with a reason that its ledger shows for ever."""

from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.utils import timezone

from accounts.errors import AccountError
from accounts.models import Account
from accounts.services import find_account
from billing import services
from billing.errors import ReferenceTaken

# More than this is a slip of the finger; whoever means it runs the command twice.
MOST = 10_000_000
_EXAMPLES = """
examples:
  manage.py grant_credits alice@example.com 500 --reason "Sorry for Tuesday's outage"
  manage.py grant_credits "Alice's Prints" 500 --reason "Invoice 2026-118" --reference invoice-2026-118
      With a reference the same command may be repeated: it gives the credits once.
  manage.py grant_credits alice@example.com 500 --reason "A test" --dry-run
"""


def credit_amount(text: str) -> int:
    digits = text.replace(",", "").replace("_", "")
    if not (digits.isascii() and digits.isdigit() and 1 <= int(digits) <= MOST):
        raise ArgumentTypeError(f"{text!r} is not a whole number of credits from 1 to {MOST:,}.")
    return int(digits)


def text_up_to(most: int) -> Any:  # noqa: ANN401 - a function for argparse
    def parse(text: str) -> str:
        text = text.strip()
        if not 1 <= len(text) <= most:
            raise ArgumentTypeError(f"has {len(text)} characters; 1 to {most} are allowed.")
        return text

    return parse


class Help(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """The examples as they are written, and what every command has at the end."""


class Command(BaseCommand):
    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:  # noqa: ANN401
        options |= {"epilog": _EXAMPLES, "formatter_class": Help}
        return super().create_parser(prog_name, subcommand, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("account", help="the account's id, its name, or the e-mail address of one of its people")
        parser.add_argument("amount", type=credit_amount, help="how many credits, such as 500")
        parser.add_argument("--reason", required=True, type=text_up_to(200), help="what the ledger says it was for")
        parser.add_argument(
            "--reference", type=text_up_to(64), help="a name for this gift: with the same one it is given only once"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")

    def handle(self, *, account: str, amount: int, reason: str, **options: Any) -> None:  # noqa: ANN401
        try:
            receiver = find_account(account)
        except AccountError as error:
            raise CommandError(str(error)) from error
        if options["dry_run"]:
            self.stdout.write(f"Would grant {amount:,} credits to {_named(receiver)}. Nothing was changed.")
            return
        reference = options["reference"] or f"manual:{uuid4()}"
        try:
            granted = services.grant(
                account=receiver, credits=amount, reference=reference, now=timezone.now(), note=reason
            )
        except ReferenceTaken as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        self.stdout.write(_said(receiver, amount, reference, granted=granted))


def _said(account: Account, amount: int, reference: str, *, granted: bool) -> str:
    balance = services.balance(account)
    done = (
        f"Granted {amount:,} credits to {_named(account)}."
        if granted
        else f"{_named(account)} got these {amount:,} credits before, under the same reference. Nothing was changed."
    )
    return f"{done}\nBalance: {balance.available:,} available, {balance.held:,} held. Reference: {reference}"


def _named(account: Account) -> str:
    return f"{account.name} ({account.pk})"
