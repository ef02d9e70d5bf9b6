"""
What Google calls in the webhooks service: Pub/Sub with ends of jobs and dead letters, Cloud Scheduler for the sweep.

An answer of 2xx takes a message off its queue. So whatever can never be understood is taken, logged and counted; what
an outage keeps from being done is refused with 503 and comes again.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import structlog
from django.core.exceptions import RequestDataTooBig
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import adapters, job_events, metrics, queue, trace
from jobs.models import Job

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from rest_framework.request import Request

    from jobs.sweep import SweepReport

log = structlog.get_logger(__name__)


class Outcome(Enum):
    """What became of a message that was taken."""

    SETTLED = "settled"
    REPUBLISHED = "republished"
    FAILED = "failed"  # begun too often, or of an operation that is no more
    NO_EFFECT = "no_effect"  # a replay, or one that came out of order
    FOREIGN = "foreign"  # not a message of ours
    UNKNOWN_JOB = "unknown_job"


@dataclass(frozen=True)
class _Message:
    content: bytes
    attributes: Mapping[str, str]


class PushAuthentication(BaseAuthentication):
    """The caller is Google, for this service; there is nobody behind it."""

    def authenticate(self, request: Request) -> None:
        adapters.push_auth().check(
            authorization=request.headers.get("Authorization", ""), token=request.query_params.get("token", "")
        )

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        return "Bearer"


class _Pushed(APIView):
    authentication_classes = [PushAuthentication]
    # The token is all there is to know of the caller.
    permission_classes = []
    throttle_classes = []


class _PushedMessages(_Pushed, ABC):
    kind: str
    job_id_of: staticmethod[[bytes], UUID | None]

    def post(self, request: Request) -> Response:
        outcome = self._take(request)
        metrics.PUSH_EVENTS.labels(self.kind, outcome.value).inc()
        return Response({"outcome": outcome.value})

    def _take(self, request: Request) -> Outcome:
        message = _message(request)
        job_id = self.job_id_of(message.content) if message else None
        if message is None or job_id is None:
            log.warning("push_foreign", kind=self.kind, bytes=request.headers.get("Content-Length"))
            return Outcome.FOREIGN
        with trace.continued(message.attributes), structlog.contextvars.bound_contextvars(job_id=str(job_id)):
            job = Job.objects.filter(id=job_id).first()
            if job is None:
                log.warning("push_of_unknown_job", kind=self.kind)
                return Outcome.UNKNOWN_JOB
            outcome = self.deal_with(job) if job.settled_at is None else Outcome.NO_EFFECT
            log.info("push_taken", kind=self.kind, outcome=outcome.value)
            return outcome

    @abstractmethod
    def deal_with(self, job: Job) -> Outcome:
        """Act on a job that is not settled yet. What it raises is answered, and the message comes again."""


class JobEventsPush(_PushedMessages):
    """A job has ended, says its worker: what is true of it is in the state store, whatever the message says."""

    kind = job_events.TOPIC
    job_id_of = staticmethod(job_events.job_id_of)

    def deal_with(self, job: Job) -> Outcome:
        settled = adapters.job_service().settle(job.id, now=timezone.now())
        return Outcome.SETTLED if settled else Outcome.NO_EFFECT


class DeadLettersPush(_PushedMessages):
    """The queue has given up a job's message; whether the job is given up is for its own attempts to say."""

    kind = "dead-letter-jobs"
    job_id_of = staticmethod(queue.job_id_of)

    def deal_with(self, job: Job) -> Outcome:
        return _outcome(adapters.sweeper().judge(job, now=timezone.now()))


class Sweep(_Pushed):
    """What `manage.py sweep` does, once; answers with how many jobs were moved on, by what was wrong with them."""

    def post(self, request: Request) -> Response:  # noqa: ARG002 - it needs to be told nothing
        return Response(vars(adapters.sweeper().sweep(now=timezone.now())))


def _message(request: Request) -> _Message | None:
    """Return what was published, out of what Pub/Sub wraps it into."""
    try:
        message = json.loads(request.body)["message"]
        attributes = message.get("attributes") or {}
        content = base64.b64decode(message["data"], validate=True)
        return _Message(content, {str(name): str(text) for name, text in attributes.items()})
    except (RequestDataTooBig, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _outcome(report: SweepReport) -> Outcome:
    if report.republished or report.announced:
        return Outcome.REPUBLISHED
    if report.parked:
        return Outcome.FAILED
    return Outcome.SETTLED if report.settled else Outcome.NO_EFFECT
