"""The admin's first page: what an operator wants to know at three in the morning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.db.models import Count
from django.utils import timezone

import billing.services
from imagen_site import health
from jobs import adapters
from jobs.errors import Unavailable
from jobs.models import Job
from jobs.operations import OPERATIONS
from jobs.states import JobStatus

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from django.http import HttpRequest

    from jobs.states import JobState

MAX_LIVE = 1_000
_AUDIT_SECONDS = 60
_HOUR = timedelta(hours=1)


@dataclass
class QueueRow:
    """
    One operation: its unfinished jobs, the oldest that waits, and whether its model is there.

    ready: None where this process may not ask.
    """

    title: str
    operation: str
    ready: bool | None
    queued: int = 0
    processing: int = 0
    oldest: datetime | None = None


def with_state_of_the_site(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - Unfold's
    now = timezone.now()
    failures = list(_failures(now=now))
    context["site_state"] = {
        **_queues(now=now),
        "failures": failures,
        "failed": sum(failure["number"] for failure in failures),
        "ended": Job.objects.filter(completed_at__gte=now - _HOUR, status=JobStatus.COMPLETED).count(),
        "database": health.database_answers(),
        "disagreements": cache.get_or_set("ledger_audit", billing.services.disagreements, _AUDIT_SECONDS),
    }
    return context


def _queues(*, now: datetime) -> dict[str, Any]:
    """Count the unfinished jobs by their live state, up to a number that no page should have to read."""
    ready = health.models_ready()
    rows = {name: QueueRow(each.title, name, ready.get(name)) for name, each in OPERATIONS.items()}
    unfinished = Job.objects.unsettled().order_by("requested_at").values_list("id", "operation", "requested_at")
    found = list(unfinished[: MAX_LIVE + 1])
    shown = found[:MAX_LIVE]
    live = _live([job_id for job_id, _, _ in shown])
    for job_id, operation, requested_at in shown:
        row = rows.setdefault(operation, QueueRow(operation, operation, ready=False))
        status = live[job_id].status if live and job_id in live else JobStatus.QUEUED
        if status is JobStatus.QUEUED:
            row.queued += 1
            row.oldest = row.oldest or requested_at
        row.processing += status is JobStatus.PROCESSING
    oldest = min((row.oldest for row in rows.values() if row.oldest), default=None)
    return {
        "queues": list(rows.values()),
        "more": len(found) > MAX_LIVE,
        "states_away": live is None,
        "queued": sum(row.queued for row in rows.values()),
        "processing": sum(row.processing for row in rows.values()),
        "oldest": oldest,
        "oldest_seconds": (now - oldest).total_seconds() if oldest else 0,
    }


def _live(job_ids: list[UUID]) -> dict[UUID, JobState] | None:
    try:
        return adapters.state_store().read_many(job_ids)
    except Unavailable:
        return None


def _failures(*, now: datetime) -> Any:  # noqa: ANN401 - dictionaries of code and number
    failed = Job.objects.filter(status=JobStatus.FAILED, completed_at__gte=now - _HOUR)
    return failed.values("error_code").annotate(number=Count("id")).order_by("-number", "error_code")
