"""What the commands for bulk work share: the way from their arguments to a summary and an exit code."""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
import signal
import sys
import time
from argparse import RawDescriptionHelpFormatter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.management.base import BaseCommand, DjangoHelpFormatter
from django.utils import timezone

from jobs import adapters
from jobs.bulk.follow import Follower
from jobs.bulk.pace import Pace
from jobs.bulk.plan import plan
from jobs.bulk.progress import Progress
from jobs.bulk.run import BulkRun
from jobs.bulk.stop import Stop
from jobs.bulk.summary import Summary
from jobs.models import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.core.management.base import CommandParser

    from jobs.bulk.work import Work

# How the work is done and who pays for it: with others it is the same run.
_HOW = {"dry_run", "wait", "free", "rate", "max_queued", "limit", "run", "json", "output_dir"}
_DJANGOS = {"verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color", "skip_checks"}


class Help(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """The examples as they are written, and what every command has at the end."""


class BulkCommand(BaseCommand):
    """A command that makes jobs: a subclass says of what, this class how."""

    examples: ClassVar[str]
    argv: tuple[str, ...] = ()

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:  # noqa: ANN401
        options |= {"epilog": self.examples, "formatter_class": Help}
        return super().create_parser(prog_name, subcommand, **options)

    def run_from_argv(self, argv: list[str]) -> None:
        self.argv = tuple(argv[1:])
        # A line for each job would drown the progress; what goes wrong is still said.
        logging.getLogger("jobs").setLevel(logging.WARNING)
        super().run_from_argv(argv)

    def work_through(
        self,
        works: Iterable[Work],
        *,
        total: int | None,
        options: dict[str, Any],
        keep: Callable[[Job, str], None] = lambda _job, _name: None,
    ) -> None:
        """Do or plan the work, print what became of it, and end with 0 all well, 1 some failed, 130 Ctrl-C."""
        summary = Summary(options["run"])
        progress = Progress(sys.stderr, total=total, line=lambda: summary.line)
        if options["dry_run"]:
            planned = plan(works, run=options["run"], service=adapters.job_service(), progress=progress)
            self.stdout.write(json.dumps(planned.as_json()) if options["json"] else planned.in_words())
            return
        service = adapters.job_service()
        follower = Follower(service, summary, progress, timezone.now, keep) if options["wait"] else None
        with stopped_by_signals() as stop:
            pace = Pace(options["rate"], options["max_queued"], unfinished_jobs, time.monotonic, stop.wait)
            run = BulkRun(summary.run, service, pace, stop, progress, summary, timezone.now, follower)
            progress.say(f"Run {summary.run}. Ctrl-C stops it, and the same command goes on.")
            carry_out(run, works)
        said = json.dumps(summary.as_json()) if options["json"] else summary.in_words(waited=options["wait"])
        self.stdout.write(said)
        if summary.broken_off:
            sys.stderr.write(f"Nothing is lost or charged twice. To go on: {self._again(summary.run)}\n")
        if stop.signal or not summary.well:
            sys.exit(128 + stop.signal if stop.signal else 1)

    def _again(self, run: str) -> str:
        given = ["manage.py", *(self.argv or [type(self).__module__.rpartition(".")[2]])]
        return shlex.join(given if "--run" in given else [*given, "--run", run])


def carry_out(run: BulkRun, works: Iterable[Work]) -> None:
    began = time.monotonic()
    try:
        run.work_through(works)
    except KeyboardInterrupt:
        run.summary.broken_off = "Stopped at once, in the middle of a photo."
    run.summary.seconds = round(time.monotonic() - began, 1)


def named(command: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with the name of the run, made from all that decides what is to be done."""
    decisive = {name: str(value) for name, value in options.items() if name not in _HOW | _DJANGOS}
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:10]
    return {**options, "run": options["run"] or f"{command}-{digest}"}


def unfinished_jobs(most: int) -> int:
    """Count everybody's jobs that have not ended, but not beyond `most`: a look at an index of those alone."""
    return Job.objects.unsettled()[:most].count()


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Listen to Ctrl-C and SIGTERM; who asks twice does not want to wait for a clean end."""
    stop = Stop()

    def ask(number: int, _frame: object) -> None:
        signal.signal(number, signal.default_int_handler)
        stop.ask(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
