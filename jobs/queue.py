"""The job queue: publish a job's id to its operation's topic. Ids only: images never travel by message."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from kombu.exceptions import KombuError

from jobs import trace
from jobs.errors import Unavailable
from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celery import Celery
    from kombu import Producer

# Tasks are sent by name, so that services never import them; a test holds the name against jobs/tasks.py.
RUN_JOB = "jobs.run_job"


class JobQueue(Protocol):
    def publish(self, *, job_id: UUID, operation: str) -> None:
        """
        Put a job on its operation's queue; once this returns the queue has it for good.

        Publishing twice is harmless. Raises Unavailable, which is worth a retry.
        """

    def publish_many(self, jobs: Iterable[tuple[UUID, str]]) -> None:
        """
        Put jobs, each with its operation, on their queues, in few round trips where the queue takes many at once.

        Raises Unavailable as publish() does; some may be on their queues by then.
        """


class CeleryJobQueue:
    def __init__(self, app: Celery) -> None:
        self._app = app

    def publish(self, *, job_id: UUID, operation: str) -> None:
        with _translated():
            self._send(job_id, operation)

    def publish_many(self, jobs: Iterable[tuple[UUID, str]]) -> None:
        with _translated(), self._app.producer_or_acquire() as producer, producer.batch():
            for job_id, operation in jobs:
                self._send(job_id, operation, producer=producer)

    def _send(self, job_id: UUID, operation: str, *, producer: Producer | None = None) -> None:
        self._app.send_task(
            RUN_JOB,
            kwargs={"job_id": str(job_id)},
            queue=OPERATIONS[operation].topic,
            # A plain header, so that every transport can carry it as an attribute of its message.
            headers={trace.TRACEPARENT: (trace.current() or trace.begin()).traceparent},
            # Ours says what is worth a retry; Celery's own would hold a request for minutes.
            retry=False,
            producer=producer,
        )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (KombuError, OSError) as error:
        raise Unavailable("The queue does not answer.") from error


def job_id_of(message: bytes) -> UUID | None:
    """Return the job that a message of this queue is about; None for a message of any other shape."""
    try:
        body = json.loads(message)["body"]
        _, kwargs, _ = json.loads(base64.b64decode(body, validate=True))
        return UUID(kwargs["job_id"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


class ListJobQueue:
    """A list, for unit tests."""

    def __init__(self) -> None:
        self.published: list[tuple[UUID, str]] = []

    def publish(self, *, job_id: UUID, operation: str) -> None:
        self.published.append((job_id, operation))

    def publish_many(self, jobs: Iterable[tuple[UUID, str]]) -> None:
        self.published.extend(jobs)
