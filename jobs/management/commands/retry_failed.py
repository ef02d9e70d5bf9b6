"""Run failed jobs again: those that failed through our fault, and that nobody has run again yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs import adapters
from jobs.bulk.selection import WORTH_A_RETRY
from jobs.bulk.work import reruns
from jobs.management import arguments
from jobs.management.bulk import BulkCommand, named

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(BulkCommand):
    help = __doc__
    examples = f"""
examples:
  manage.py retry_failed --since 12h --dry-run
      What failed through our fault tonight, and what would a retry take?
  manage.py retry_failed --since 12h --wait
  manage.py retry_failed --error-code quality_gate --operation background_remove --set engine=light
  manage.py retry_failed --error-code engine_unavailable
      Those that asked for an engine which has been installed since.
  manage.py retry_failed --account alice@example.com --any-error

Without --error-code and --any-error: {", ".join(WORTH_A_RETRY)}.
What is wrong with the request itself would fail again and is left alone: a photo that cannot be read, a parameter, an
engine that is not installed. A job that was run again is left to its successor.
Ctrl-C stops cleanly; the same command goes on where it was.
Exit code: 0 all well, 1 some failed, 130 stopped by Ctrl-C.
"""

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_which(parser)
        parser.add_argument("--any-error", action="store_true", help="whatever they failed of, the photo's fault too")
        arguments.add_values(parser)
        arguments.add_how(parser)

    def handle(self, **given: Any) -> None:  # noqa: ANN401 - as argparse found them
        options = named("retry_failed", given)
        values = arguments.values_of(options["set"], arguments.only_operation(options))
        codes = () if options["any_error"] else tuple(options["error_code"] or WORTH_A_RETRY)
        chosen = arguments.selection(options, states=("failed",), error_codes=codes, last_of_line=True)
        works = reruns(adapters.job_service(), chosen, None, values, free=options["free"])
        self.work_through(works, total=chosen.count(), options=options)
