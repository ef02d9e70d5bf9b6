"""Make a job of every photo in a folder and the folders in it, for one account."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from jobs import adapters
from jobs.bulk.folder import Import, files_in, save_result
from jobs.management import arguments
from jobs.management.bulk import BulkCommand, named
from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.core.management.base import CommandParser

    from accounts.models import Account
    from jobs.models import Job
    from jobs.operations import Operation
    from jobs.services import JobService


class Command(BulkCommand):
    help = __doc__
    examples = """
examples:
  manage.py import_folder holiday --account alice@example.com --operation upscale --set scale=2 --dry-run
      Which photos would be taken, and what would they cost?
  manage.py import_folder holiday --account alice@example.com --operation enhance --output-dir better
      Enhance them all; write each result to the folder "better" under its photo's name.

What is no image is skipped and counted, hidden files are passed over. Results replace nothing that is there.
Ctrl-C stops cleanly; the same command goes on where it was, also after photos were added or changed.
Exit code: 0 all well, 1 some failed, 130 stopped by Ctrl-C.
"""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--account", required=True, help="whose jobs: an account's id, name, or an e-mail address of its people"
        )
        parser.add_argument("--operation", required=True, choices=sorted(OPERATIONS))
        arguments.add_values(parser)
        parser.add_argument(
            "--output-dir", type=Path, metavar="FOLDER", help="wait for the results, and write them there as they come"
        )
        arguments.add_how(parser)

    def handle(self, **given: Any) -> None:  # noqa: ANN401 - as argparse found them
        options = named("import_folder", {**given, "folder": given["folder"].resolve()})
        folder, output = options["folder"], options["output_dir"] and options["output_dir"].resolve()
        if not folder.is_dir():
            raise CommandError(f"There is no folder {folder}.")
        if output and (folder == output or output in folder.parents):
            raise CommandError("Let the results go to another folder: the next import would take them for photos.")
        operation = OPERATIONS[options["operation"]]
        works = Works(
            adapters.job_service(),
            arguments.account_named(options["account"]),
            folder,
            output,
            operation,
            arguments.values_of(options["set"], operation),
            options["free"],
        )
        # Results are written as they come, so they are waited for.
        options["wait"] = options["wait"] or output is not None
        count = works.count() if options["limit"] is None else min(works.count(), options["limit"])
        self.work_through(islice(works, options["limit"]), total=count, options=options, keep=keeper(output))


@dataclass(frozen=True)
class Works:
    """Every file of the folder, looked at when its turn comes."""

    service: JobService
    owner: Account
    folder: Path
    output: Path | None
    operation: Operation
    values: Mapping[str, str]
    free: bool

    def count(self) -> int:
        return sum(1 for _ in files_in(self.folder, but=self.output))

    def __iter__(self) -> Iterator[Import]:
        for path in files_in(self.folder, but=self.output):
            yield Import(self.service, self.owner, self.folder, path, self.operation, self.values, self.free)


def keeper(output: Path | None) -> Callable[[Job, str], None]:
    """Return what is to be done with a job's result and its photo's name."""

    def keep(job: Job, name: str) -> None:
        if output is not None:
            path = job.outcome["output"]["path"]
            save_result(adapters.image_store().read(path), output, job_id=job.id, name=name, suffix=Path(path).suffix)

    return keep
