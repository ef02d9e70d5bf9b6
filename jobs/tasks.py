"""Celery's entry points: an id comes in, the runner does the rest."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from celery.exceptions import Reject

from jobs import adapters
from jobs.queue import RUN_JOB
from jobs.runner import Outcome


@shared_task(name=RUN_JOB, acks_late=True)
def run_job(*, job_id: str, **_newer: object) -> None:
    if adapters.runner().run(UUID(job_id)) is Outcome.RELEASED:
        # Not Celery's retry, which publishes a copy: the queue keeps this message and delivers it again.
        raise Reject(reason="released", requeue=True)
