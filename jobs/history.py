"""What the list of jobs may be narrowed to: read from an address, applied to a query."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from jobs import queries
from jobs.operations import OPERATIONS
from jobs.states import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import QueryDict

    from jobs.models import JobQuerySet
    from jobs.state_store import JobStateStore

MAX_TEXT = 100


def read(given: QueryDict) -> dict[str, str]:
    """Return what was chosen and makes sense; whatever else an address says is no reason to show nothing."""
    chosen = {name: given.get(name, "").strip() for name in _SENSIBLE}
    return {name: value for name, value in chosen.items() if value and _SENSIBLE[name](value)}


def fitting(jobs: JobQuerySet, chosen: Mapping[str, str], *, states: JobStateStore) -> JobQuerySet:
    """Narrow to jobs that fit; days are whole days of UTC."""
    if operation := chosen.get("operation"):
        jobs = jobs.filter(operation=operation)
    if text := chosen.get("text"):
        jobs = jobs.filter(filename__icontains=text)
    if since := chosen.get("since"):
        jobs = jobs.filter(requested_at__gte=_midnight(since))
    if until := chosen.get("until"):
        jobs = jobs.filter(requested_at__lt=_midnight(until) + timedelta(days=1))
    if status := chosen.get("status"):
        jobs = queries.with_status(jobs, JobStatus(status), states=states)
    return jobs


def _midnight(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time.min, UTC)


def _is_day(text: str) -> bool:
    try:
        # The last day has no next one.
        return date.fromisoformat(text) < date.max
    except ValueError:
        return False


_SENSIBLE: Mapping[str, Callable[[str], bool]] = {
    "operation": OPERATIONS.__contains__,
    "status": {status.value for status in JobStatus}.__contains__,
    "text": lambda text: len(text) <= MAX_TEXT and "\x00" not in text,
    "since": _is_day,
    "until": _is_day,
}
