"""Hold the ledger against how jobs ended and against every balance; change nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.utils import timezone

import billing.services
from jobs.audit import audit
from jobs.bulk.selection import read_moment
from jobs.management import arguments
from jobs.management.bulk import Help
from jobs.models import Job

if TYPE_CHECKING:
    from datetime import datetime

    from django.core.management.base import CommandParser

_EXAMPLES = """
examples:
  manage.py audit_ledger                 every job and every balance
  manage.py audit_ledger --since 2d      the jobs that ended in the last two days, and every balance

Exit code: 0 all agrees, 1 something does not.
"""


class Command(BaseCommand):
    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:  # noqa: ANN401
        options |= {"epilog": _EXAMPLES, "formatter_class": Help}
        return super().create_parser(prog_name, subcommand, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since",
            type=arguments.checked(_moment),
            metavar="WHEN",
            help="only jobs that ended since: 2d, 2026-11-24",
        )

    def handle(self, *, since: datetime | None, **options: Any) -> None:  # noqa: ANN401 - Django passes its own too
        jobs = Job.objects.all() if since is None else Job.objects.filter(completed_at__gte=since)
        wrong = 0
        for found in audit(jobs):
            wrong += 1
            movements = f"expected {_said(found.expected)}, found {_said(found.found)}"
            self.stdout.write(f"job {found.job_id} {found.status}: {movements}")
        for name, accounts in billing.services.disagreements().items():
            wrong += 1
            self.stdout.write(f"account {name}: balance {accounts.balance}, ledger {accounts.ledger}")
        self.stdout.write(f"{wrong:,} discrepancies." if wrong else "The ledger, the jobs and the balances agree.")
        if wrong:
            sys.exit(1)


def _moment(text: str) -> datetime:
    return read_moment(text, now=timezone.now())


def _said(movements: tuple[tuple[str, int], ...]) -> str:
    return " and ".join(f"{kind} {amount:,}" for kind, amount in movements) or "nothing"
