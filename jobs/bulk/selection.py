"""Which jobs an operator means; and walking through them, however many, in constant memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from jobs.models import IdempotencyRecord, Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from django.db.models import QuerySet

    from jobs.models import JobQuerySet

# Codes of failures that were ours: the same request may well succeed now. Not engine_unavailable: it asks by its name
# for an engine that somebody must install first.
WORTH_A_RETRY = ("attempts_exhausted", "internal", "timeout", "weights_not_fetched")
CHUNK = 200
_AGES: Mapping[str, str] = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Selection:
    """
    Ended jobs that fit everything that is given; an empty field asks for nothing.

    Jobs that the run itself has made never fit, or a run could feed on its own results. The oldest come first.
    """

    run: str
    states: tuple[str, ...]
    operations: tuple[str, ...] = ()
    account_id: UUID | None = None
    engine: str = ""
    engine_version: str = ""
    error_codes: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    ids: Iterable[UUID] | None = field(default=None, repr=False)
    limit: int | None = None
    # A job that was run again, with the same operation or well, is left to its successor.
    last_of_line: bool = False

    def jobs(self) -> JobQuerySet:
        """Return the jobs that fit, without the ids and the limit."""
        jobs = Job.objects.filter(self._fits()).exclude(settled_at=None).filter(~Exists(_made_by(self.run)))
        if self.last_of_line:
            again = Q(operation=OuterRef("operation")) | Q(status="completed")
            children = Job.objects.filter(again, parent=OuterRef("pk")).filter(~Exists(_made_by(self.run)))
            jobs = jobs.filter(~Exists(children))
        return jobs.select_related("account")

    def count(self) -> int | None:
        """Return how many jobs fit; None where only walking through them could tell."""
        if self.ids is not None:
            return None
        count = self.jobs().count()
        return count if self.limit is None else min(count, self.limit)

    def __iter__(self) -> Iterator[Job | UUID]:
        """Yield the jobs; of the ids that were given, those that name no such job as they are."""
        return islice(self._by_id(self.ids) if self.ids is not None else oldest_first(self.jobs()), self.limit)

    def _by_id(self, ids: Iterable[UUID]) -> Iterator[Job | UUID]:
        for some in _in_lists(ids):
            found = self.jobs().in_bulk(some)
            yield from (found.get(job_id, job_id) for job_id in some)

    def _fits(self) -> Q:
        asked = {
            "status__in": self.states,
            "operation__in": self.operations,
            "account_id": self.account_id,
            "outcome__engine__name": self.engine,
            "outcome__engine__version": self.engine_version,
            "error_code__in": self.error_codes,
            "requested_at__gte": self.since,
            "requested_at__lt": self.until,
        }
        return Q(**{name: value for name, value in asked.items() if value})


def oldest_first(jobs: JobQuerySet, *, by: str = "requested_at") -> Iterator[Job]:
    """
    Yield jobs in the order of a time of theirs, in constant memory and without a cursor left open for hours.

    What comes to fit or ceases to fit meanwhile neither repeats nor hides another.
    """
    seen: Job | None = None
    while True:
        rest = jobs
        if seen is not None:
            moment = getattr(seen, by)
            rest = jobs.filter(**{f"{by}__gte": moment}).exclude(**{by: moment, "id__lte": seen.id})
        chunk = list(rest.order_by(by, "id")[:CHUNK])
        if not chunk:
            return
        yield from chunk
        seen = chunk[-1]


def _in_lists(ids: Iterable[UUID]) -> Iterator[list[UUID]]:
    rest = iter(ids)
    while some := list(islice(rest, CHUNK)):
        yield list(dict.fromkeys(some))


def read_ids(lines: Iterable[str]) -> Iterator[UUID]:
    """Yield the first word of each line as a job's id; raises ValueError naming the line that has none."""
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            yield UUID(words[0])
        except ValueError as error:
            raise ValueError(f"Line {number} begins with {words[0][:60]!r}, which is no job's id.") from error


def read_moment(text: str, *, now: datetime) -> datetime:
    """Return the moment that 2026-11-24, 2026-11-24T09:30 or an age such as 90m, 12h, 7d or 2w means."""
    age = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if age:
        return now - timedelta(**{_AGES[age[2]]: int(age[1])})
    try:
        day = parse_date(text.strip())
        moment = datetime(day.year, day.month, day.day) if day else parse_datetime(text.strip())  # noqa: DTZ001
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{text!r} is neither a date such as 2026-11-24T09:30 nor an age such as 12h or 7d.")
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment


def _made_by(run: str) -> QuerySet[IdempotencyRecord]:
    return IdempotencyRecord.objects.filter(job=OuterRef("pk"), key__startswith=f"{run}:")
