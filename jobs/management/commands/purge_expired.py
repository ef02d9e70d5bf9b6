"""Delete the photos and results whose time is over, by hand: what the sweep does by itself, with something to watch."""

from __future__ import annotations

import logging
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from jobs import adapters
from jobs.bulk.progress import Progress
from jobs.bulk.selection import oldest_first
from jobs.bulk.stop import Stopped
from jobs.management import arguments
from jobs.management.bulk import Help, stopped_by_signals
from jobs.models import Job
from jobs.sweep import SweepReport

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from jobs.bulk.stop import Stop
    from jobs.models import JobQuerySet

_EXAMPLES = """
examples:
  manage.py purge_expired --dry-run
  manage.py purge_expired --limit 1000

What SQL and the ledger know of a job stays. Ctrl-C stops cleanly; the same command goes on.
Exit code: 0 all well, 1 some could not be deleted, 130 stopped by Ctrl-C.
"""


class Command(BaseCommand):
    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:  # noqa: ANN401
        return super().create_parser(prog_name, subcommand, epilog=_EXAMPLES, formatter_class=Help, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say how many there are; delete nothing")
        parser.add_argument("--limit", type=arguments.checked(arguments.positive), metavar="N", help="at most N jobs")

    def run_from_argv(self, argv: list[str]) -> None:
        logging.getLogger("jobs").setLevel(logging.ERROR)
        super().run_from_argv(argv)

    def handle(self, *, dry_run: bool, limit: int | None, **options: Any) -> None:  # noqa: ANN401
        jobs = Job.objects.expired(now=timezone.now())
        count = jobs.count() if limit is None else min(jobs.count(), limit)
        if dry_run:
            self.stdout.write(f"Would delete the photos of {count:,} expired jobs. Nothing was changed.")
            return
        with stopped_by_signals() as stop:
            report = purge(jobs, stop, limit=limit, total=count)
        self.stdout.write(f"Deleted the photos of {report.purged:,} jobs; {report.failed:,} could not be deleted.")
        if report.failed:
            sys.stderr.write("The image store refused or does not answer. The same command tries those again.\n")
        if stop.signal or report.failed:
            sys.exit(128 + stop.signal if stop.signal else 1)


def purge(jobs: JobQuerySet, stop: Stop, *, limit: int | None, total: int) -> SweepReport:
    """Purge the jobs, those that have waited longest first."""
    report, sweeper = SweepReport(), adapters.sweeper()
    progress = Progress(sys.stderr, total=total, line=lambda: f"deleted {report.purged:,}, failed {report.failed:,}")
    try:
        for job in islice(oldest_first(jobs, by="expires_at"), limit):
            stop.check()
            report += sweeper.purge(job, now=timezone.now())
            progress.step()
    except Stopped:
        progress.say("Stopped as asked; the same command goes on.")
    finally:
        progress.close()
    return report
