"""Celery's entry points: an id comes in, the runner does the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from celery import shared_task
from celery.exceptions import Reject

from jobs import adapters, trace
from jobs.queue import RUN_JOB
from jobs.runner import Outcome

if TYPE_CHECKING:
    from celery import Task


@shared_task(name=RUN_JOB, acks_late=True, bind=True)
def run_job(self: Task[..., None], *, job_id: str, **_newer: object) -> None:
    # A message of an older site has none.
    with trace.continued({trace.TRACEPARENT: str(self.request.get(trace.TRACEPARENT))}):
        outcome = adapters.runner().run(UUID(job_id))
    if outcome is Outcome.RELEASED:
        # Not Celery's retry, which publishes a copy: the queue keeps this message and delivers it again.
        raise Reject(reason="released", requeue=True)
