"""The repairs: every job that a crash or an outage left somewhere is moved on from here, each minute or oftener."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from jobs import metrics, trace
from jobs.audit import audit
from jobs.errors import JobError, Superseded, Unavailable
from jobs.models import Job
from jobs.operations import OPERATIONS
from jobs.runner import exhausted
from jobs.services import first_state
from jobs.states import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from jobs.direct_uploads import DirectUploads
    from jobs.services import JobService
    from jobs.states import JobState

log = structlog.get_logger(__name__)
_CHUNK = 300
# A request announces its own job within this time, or has died.
_GRACE = timedelta(seconds=10)
# What ended within this time is audited by each sweep; `manage.py audit_ledger` looks at all.
_AUDITED = timedelta(minutes=10)


@dataclass(frozen=True)
class SweepReport:
    """How many jobs a sweep moved on, by what was wrong with them."""

    announced: int = 0  # accepted, but the crash came before the state or the message
    republished: int = 0  # the message was lost, or the worker's lease ran out
    parked: int = 0  # begun too often, or of an operation that is no more
    settled: int = 0  # ended, but not in SQL
    purged: int = 0  # older than the retention
    uploads: int = 0  # sent directly, and over
    disagreeing: int = 0  # settled lately, and charged otherwise than their end says
    failed: int = 0  # could not be repaired this time; the next sweep tries again

    def __add__(self, other: SweepReport) -> SweepReport:
        return SweepReport(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})

    @property
    def idle(self) -> bool:
        return self == SweepReport()


@dataclass(frozen=True)
class Sweeper:
    """
    Looks at every unsettled job, then at every expired one.

    A job still queued `republish_after` its last publishing is published again: a copy of a message that was not lost
    is dropped by whoever gets it second.
    """

    service: JobService
    uploads: DirectUploads
    max_attempts: int
    republish_after: timedelta

    def sweep(self, *, now: datetime) -> SweepReport:
        """Repair and purge once; safe to run at any time, by several at once."""
        report = SweepReport()
        for jobs in _chunks():
            states = self.service.states.read_many([job.id for job in jobs])
            for job in jobs:
                report += self._repair(job, states.get(job.id), now=now)
        for job in Job.objects.expired(now=now)[:_CHUNK]:
            report += self.purge(job, now=now)
        disagreeing = sum(1 for _ in audit(Job.objects.filter(completed_at__gte=now - _AUDITED)))
        report += SweepReport(disagreeing=disagreeing)
        purged, failed = self.uploads.purge(now=now)
        report += SweepReport(uploads=purged, failed=failed)
        if not report.idle:
            log.info("swept", **vars(report))
        return report

    def judge(self, job: Job, *, now: datetime) -> SweepReport:
        """
        Deal with a job whose message the queue gave up, by what the job itself says of its attempts.

        The queue counts deliveries, those among them that were handed back through no fault of the job. Raises
        Unavailable, which is worth a retry.
        """
        with suppress(Superseded):
            return self._judge(job, now=now)
        # Somebody moved it just now, and so looks after it.
        return SweepReport()

    def _judge(self, job: Job, *, now: datetime) -> SweepReport:
        if job.operation not in OPERATIONS:
            return self._retire(job, now=now)
        state = self.service.states.read_many([job.id]).get(job.id)
        if state is not None and state.status.terminal:
            return SweepReport(settled=int(self.service.settle(job.id, now=now)))
        if state is not None and state.status is JobStatus.PROCESSING and not state.lapsed(now=now):
            # A worker is at it; should it die, the sweep sees its lease run out.
            return SweepReport()
        if state is None or state.attempt < self.max_attempts:
            return self._publish(job, now=now)
        return self._park(job, now=now)

    def _repair(self, job: Job, state: JobState | None, *, now: datetime) -> SweepReport:
        try:
            if job.operation not in OPERATIONS:
                return self._retire(job, now=now)
            return self._repair_one(job, state, now=now)
        except (JobError, Superseded) as error:
            log.warning("repair_failed", job_id=str(job.id), error=type(error).__name__)
            return SweepReport(failed=1)

    def _repair_one(self, job: Job, state: JobState | None, *, now: datetime) -> SweepReport:
        if state is None:
            if now - job.requested_at < _GRACE:
                # Perhaps its own request is still announcing it.
                return SweepReport()
            return replace(self._publish(job, now=now), announced=1, republished=0)
        if state.status.terminal:
            return SweepReport(settled=int(self.service.settle(job.id, now=now)))
        if state.lapsed(now=now) and state.attempt >= self.max_attempts:
            return self._park(job, now=now)
        return self._publish(job, now=now) if self._needs_message(job, state, now=now) else SweepReport()

    def _needs_message(self, job: Job, state: JobState, *, now: datetime) -> bool:
        published_at = job.republished_at or job.requested_at
        long_ago = now - published_at >= self.republish_after
        if state.lapsed(now=now):
            # Once for each lease that runs out; then again only when that message seems lost too.
            return long_ago or state.lease_until is None or published_at < state.lease_until
        return state.status is JobStatus.QUEUED and long_ago

    def _publish(self, job: Job, *, now: datetime) -> SweepReport:
        created = self.service.states.create(first_state(job))
        # The request's own trace ended long ago; the job's id joins the two.
        with trace.begun():
            try:
                self.service.queue.publish(job_id=job.id, operation=job.operation)
            except Unavailable:
                if created:
                    # Without a state the next sweep announces it again; with one it would wait for a message's time.
                    self.service.states.delete([job.id])
                raise
            log.info("job_republished", job_id=str(job.id))
        Job.objects.filter(id=job.id).update(republished_at=now)
        self.service.states.raise_feed(job.owner)
        return SweepReport(republished=1)

    def _park(self, job: Job, *, now: datetime) -> SweepReport:
        state, version = self.service.states.read(job.id)
        waits = state.status is JobStatus.QUEUED or state.lapsed(now=now)
        if not waits or state.attempt < self.max_attempts:
            return SweepReport()
        parked = exhausted(state, now=now)
        self.service.states.write(parked, expected=version)
        metrics.job_ended(parked)
        self.service.settle(job.id, now=now)
        return SweepReport(parked=1)

    def _retire(self, job: Job, *, now: datetime) -> SweepReport:
        """End a job whose operation is gone, unless somebody is still at it: no worker takes it any more."""
        self.service.states.create(first_state(job))
        state, version = self.service.states.read(job.id)
        if state.status.terminal:
            return SweepReport(settled=int(self.service.settle(job.id, now=now)))
        if state.status is JobStatus.PROCESSING and not state.lapsed(now=now):
            return SweepReport()
        sentence = f"{job.operation} is no longer offered. You were not charged."
        ended = state.fail(now=now, code="operation_gone", message=sentence)
        self.service.states.write(ended, expected=version)
        metrics.job_ended(ended)
        self.service.settle(job.id, now=now)
        return SweepReport(parked=1)

    def purge(self, job: Job, *, now: datetime) -> SweepReport:
        """Delete an expired job's photos and live state; what SQL knows of it stays."""
        try:
            self.service.images.delete_job(job.id)
            self.service.states.delete([job.id])
        except JobError as error:
            log.warning("purge_failed", job_id=str(job.id), error=type(error).__name__)
            return SweepReport(failed=1)
        Job.objects.filter(id=job.id).update(purged_at=now)
        return SweepReport(purged=1)


def _chunks() -> Iterator[list[Job]]:
    """Yield unsettled jobs, oldest first, in constant memory; one that is settled meanwhile is harmless."""
    seen: tuple[datetime, object] | None = None
    while True:
        jobs = Job.objects.unsettled().order_by("requested_at", "id")
        if seen is not None:
            jobs = jobs.filter(requested_at__gte=seen[0]).exclude(requested_at=seen[0], id__lte=seen[1])
        chunk = list(jobs[:_CHUNK])
        if not chunk:
            return
        yield chunk
        seen = (chunk[-1].requested_at, chunk[-1].id)
