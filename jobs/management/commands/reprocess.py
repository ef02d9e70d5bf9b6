"""Run photos again: each chosen job becomes a new one, with the old one as its parent, which stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from jobs import adapters
from jobs.bulk.work import reruns
from jobs.management import arguments
from jobs.management.bulk import BulkCommand, named
from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

_ENDED = ("completed", "failed", "cancelled")


class Command(BulkCommand):
    help = __doc__
    examples = """
examples:
  manage.py reprocess --engine realesr-animevideov3 --engine-version 1 --dry-run
      What would it take to redo all that an old engine made?
  manage.py reprocess --engine realesr-animevideov3 --engine-version 1 --free --rate 30/m --wait
      Redo it at our cost, no faster than 30 a minute, and say how it went.
  manage.py reprocess --account alice@example.com --since 7d --operation-to enhance --set strength=0.7
      Enhance every photo whose job of the last week completed.
  manage.py reprocess 8f14e45f-ceea-467f-9c1d-2b5a0a3c9a11
  psql -Atc "select id ..." | manage.py reprocess --ids-from - --wait --json

Ctrl-C stops cleanly; the same command goes on where it was. Photos that have expired are skipped.
Exit code: 0 all well, 1 some failed, 130 stopped by Ctrl-C.
"""

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add_which(parser)
        parser.add_argument(
            "--state", action="append", choices=_ENDED, help="how they ended (default: completed; any for given ids)"
        )
        parser.add_argument("--all", action="store_true", help="every completed job: needed where no filter is given")
        parser.add_argument("--operation-to", choices=sorted(OPERATIONS), help="another operation than the job's own")
        arguments.add_values(parser)
        arguments.add_how(parser)

    def handle(self, **given: Any) -> None:  # noqa: ANN401 - as argparse found them
        options = named("reprocess", given)
        if not (arguments.is_narrow(options) or options["state"] or options["all"]):
            raise CommandError("This would redo every job there is: give a filter, or --all if you mean it.")
        operation = OPERATIONS.get(options["operation_to"])
        values = arguments.values_of(options["set"], operation or arguments.only_operation(options))
        by_id = options["job_ids"] or options["ids_from"]
        states = tuple(options["state"] or (_ENDED if by_id else ("completed",)))
        chosen = arguments.selection(options, states=states)
        works = reruns(adapters.job_service(), chosen, operation, values, free=options["free"])
        self.work_through(works, total=chosen.count(), options=options)
