"""How a worker without SQL tells of a job that has ended: an event, pushed to whoever settles it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PubsubMessage

from jobs import trace
from jobs.errors import Unavailable

if TYPE_CHECKING:
    from google.pubsub_v1 import PublisherClient

TOPIC = "job-events"
_CALL_SECONDS = 5.0
# An outage that lasts longer is the sweep's, which does what the event would have done.
_PATIENCE = timedelta(seconds=10)


class JobEvents(Protocol):
    def announce(self, job_id: UUID) -> None:
        """
        Tell of a job that has ended; once this returns the event is kept until somebody has taken it.

        A lost event is repaired by the sweep, and one that comes twice has no effect. Raises Unavailable.
        """


class PubSubJobEvents:
    """By the generated client: its call returns when the event is stored, not when a thread has been told of it."""

    def __init__(self, publisher: PublisherClient, *, project: str, patience: timedelta = _PATIENCE) -> None:
        self._publisher, self._topic = publisher, publisher.topic_path(project, TOPIC)
        self._seconds = patience.total_seconds()

    def announce(self, job_id: UUID) -> None:
        message = PubsubMessage(data=event(job_id), attributes=_attributes(job_id))
        try:
            self._publisher.publish(
                topic=self._topic,
                messages=[message],
                retry=Retry(initial=0.2, maximum=2, timeout=self._seconds),
                timeout=min(_CALL_SECONDS, self._seconds),
            )
        except (GoogleAPICallError, RetryError, GoogleAuthError) as error:
            raise Unavailable("The topic of job events does not answer.") from error


class ListJobEvents:
    """A list, for unit tests."""

    def __init__(self) -> None:
        self.announced: list[UUID] = []

    def announce(self, job_id: UUID) -> None:
        self.announced.append(job_id)


def event(job_id: UUID) -> bytes:
    return json.dumps({"job_id": str(job_id)}).encode()


def job_id_of(message: bytes) -> UUID | None:
    """Return the job that an event tells of; None for a message of any other shape."""
    try:
        return UUID(json.loads(message)["job_id"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _attributes(job_id: UUID) -> dict[str, str]:
    context = trace.current()
    return {"job_id": str(job_id), **({trace.TRACEPARENT: context.traceparent} if context else {})}
