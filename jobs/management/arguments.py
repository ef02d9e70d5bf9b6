"""The arguments that the commands for bulk work share, and what they mean."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.management.base import CommandError
from django.utils import timezone

from accounts.errors import AccountError
from accounts.services import find_account
from jobs.bulk.pace import read_rate
from jobs.bulk.run import CannotGoOn, sentence_of
from jobs.bulk.selection import Selection, read_ids, read_moment
from jobs.errors import InvalidParameters
from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from django.core.management.base import CommandParser

    from accounts.models import Account
    from jobs.operations import Operation

# Fewer than a worker does at once (imagen_site/local/programs.py): a person's own job never stands in line behind them.
MAX_QUEUED = 4
_WHICH = ("job_ids", "ids_from", "operation", "account", "engine", "engine_version", "error_code", "since", "until")


def add_how(parser: CommandParser) -> None:
    """Add how the work is done, none of which changes what it is."""
    how = parser.add_argument_group("how it is done")
    add = how.add_argument
    add("--dry-run", action="store_true", help="say what would be done, for how many credits of whom; change nothing")
    add("--wait", action="store_true", help="follow the jobs to their end, and count how they ended")
    add("--free", action="store_true", help="the new jobs cost nothing; otherwise their account pays as for its own")
    add("--rate", type=checked(read_rate), default=0.0, metavar="2/s", help="at most so many: 2/s, 30/m, 100/h")
    add("--max-queued", type=checked(positive), default=MAX_QUEUED, metavar="N", help=_MAX_QUEUED_HELP)
    add("--limit", type=checked(positive), metavar="N", help="at most N photos, the first ones")
    add("--run", type=checked(_run_name), metavar="NAME", help=_RUN_HELP)
    add("--json", action="store_true", help="print the summary as JSON, for programs")


_MAX_QUEUED_HELP = (
    f"make a job only while fewer than N jobs, of anybody, are unfinished (default: {MAX_QUEUED}): "
    "people's own jobs come first, and do not wait behind these"
)
_RUN_HELP = (
    "under one name each photo is done once, however often the command is repeated. By default the name is made from "
    "the arguments, so that the same command goes on where it was; give another name to do all of it once more"
)


def add_which(parser: CommandParser) -> None:
    """Add the filters of jobs; a job has to fit all that are given."""
    which = parser.add_argument_group("which jobs; each must fit all that is given")
    add = which.add_argument
    add("job_ids", nargs="*", type=checked(_job_id), metavar="JOB_ID", help="these jobs alone")
    add("--ids-from", metavar="FILE", help="the jobs whose ids begin the lines of a file; - reads standard input")
    add("--operation", action="append", choices=sorted(OPERATIONS), help="may be repeated")
    add("--account", help="an account's id, its name, or the e-mail address of one of its people")
    add("--engine", metavar="NAME", help="whose results an engine made")
    add("--engine-version", metavar="VERSION", help="whose results this version of an engine made")
    add("--error-code", action="append", metavar="CODE", help="that ended with this error; may be repeated")
    add("--since", type=checked(_moment), metavar="WHEN", help="asked for since 2026-11-24, 2026-11-24T09:30, 12h, 7d")
    add("--until", type=checked(_moment), metavar="WHEN", help="asked for before that; the same forms")


def add_values(parser: CommandParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the operation; may be repeated"
    )


def is_narrow(options: Mapping[str, Any]) -> bool:
    """Tell whether any filter was given."""
    return any(options[name] for name in _WHICH)


def selection(options: Mapping[str, Any], *, states: tuple[str, ...], **more: Any) -> Selection:  # noqa: ANN401
    """Return the jobs that the filters name; raises CommandError for an account or a file that is not there."""
    now, account = timezone.now(), options["account"] and account_named(options["account"])
    return Selection(
        run=options["run"],
        states=states,
        operations=tuple(options["operation"] or ()),
        account_id=account.pk if account else None,
        engine=options["engine"] or "",
        engine_version=options["engine_version"] or "",
        since=read_moment(options["since"], now=now) if options["since"] else None,
        # What is asked for from now on is for another run, or a long one would never end.
        until=read_moment(options["until"], now=now) if options["until"] else now,
        ids=_ids(options),
        limit=options["limit"],
        **{"error_codes": tuple(options["error_code"] or ()), **more},
    )


def account_named(text: str) -> Account:
    """Return the account that an argument names; raises CommandError."""
    try:
        return find_account(text)
    except AccountError as error:
        raise CommandError(str(error)) from error


def values_of(pairs: Iterable[str], operation: Operation | None) -> dict[str, str]:
    """Return what --set says, checked against the operation where it is one; raises CommandError."""
    values = {}
    for pair in pairs:
        name, given, value = pair.partition("=")
        if not given:
            raise CommandError(f"--set takes NAME=VALUE, such as strength=0.7, not {pair!r}.")
        values[name.strip()] = value
    if operation is not None:
        try:
            operation.clean(values)
        except InvalidParameters as error:
            raise CommandError(sentence_of(error)) from error
    return values


def only_operation(options: Mapping[str, Any]) -> Operation | None:
    """Return the operation whose parameters are meant, if the filter leaves but one."""
    names: list[str] = options["operation"] or []
    return OPERATIONS[names[0]] if len(names) == 1 else None


def checked(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse say the sentence of a ValueError."""

    def parse(text: str) -> Any:  # noqa: ANN401 - whatever `read` returns
        try:
            return read(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error

    return parse


def _ids(options: Mapping[str, Any]) -> Iterable[UUID] | None:
    source = options["ids_from"]
    if options["job_ids"] and source:
        raise CommandError("Give the ids either as arguments or with --ids-from.")
    if source == "-":
        return _checked_ids(sys.stdin)
    if source:
        return _ids_in(Path(source))
    return options["job_ids"] or None


def _ids_in(path: Path) -> Iterator[UUID]:
    if not path.is_file():
        raise CommandError(f"There is no file {path}.")

    def ids() -> Iterator[UUID]:
        with path.open(encoding="utf-8", errors="replace") as lines:
            yield from _checked_ids(lines)

    return ids()


def _checked_ids(lines: Iterable[str]) -> Iterator[UUID]:
    try:
        yield from read_ids(lines)
    except ValueError as error:
        raise CannotGoOn(str(error)) from error


def _job_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no job's id.") from error


def positive(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise ValueError(f"{text!r} is not a whole number above 0.")
    return int(text)


def _run_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", text):
        raise ValueError(f"{text!r} is not a name of up to 80 letters, digits, dots, dashes and underscores.")
    return text


def _moment(text: str) -> str:
    # Kept as it was written: 7d names the same run tomorrow.
    read_moment(text, now=timezone.now())
    return text
