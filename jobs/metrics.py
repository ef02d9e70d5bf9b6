"""What is counted of jobs, in whichever process it happens. docs/observability.md says what each is good for."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from jobs.operations import OPERATIONS
from jobs.states import JobStatus, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from jobs.states import JobState

JOBS = Counter("imagen_jobs", "Jobs that ended, by the process that ended them.", ["operation", "status"])
RUNNING = Gauge("imagen_jobs_running", "Jobs that this worker is at.", ["operation"])
STAGE_SECONDS = Histogram(
    "imagen_job_stage_seconds",
    "How long a stage took that went well, outages that were waited out included.",
    ["operation", "stage"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 900),
)
QUEUE_WAIT_SECONDS = Histogram(
    "imagen_job_queue_wait_seconds",
    "From accepting a job to the first time a worker began it.",
    ["operation"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600),
)
JOB_SECONDS = Histogram(
    "imagen_job_seconds",
    "From accepting a job to its end, waits and outages and attempts that failed included.",
    ["operation", "status"],
    buckets=(0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600),
)
FAILURES = Counter(
    "imagen_job_failures", "Jobs that failed, by the code and by whose fault it was.", ["operation", "code", "fault"]
)
RETRIES = Counter("imagen_retries", "Tries of what was away, while a worker waited out the outage.", ["part"])
TAKEOVERS = Counter("imagen_lease_takeovers", "Jobs taken over from a worker that had fallen silent.")
RELEASED = Counter("imagen_jobs_released", "Jobs handed back to their queue through no fault of theirs.", ["reason"])
PUSH_EVENTS = Counter(
    "imagen_push_events", "Messages that Pub/Sub pushed to this service, by what became of them.", ["kind", "outcome"]
)
WEBSOCKETS = Gauge("imagen_websockets_open", "Websockets that are open now.")

# Codes of failures that a photo or a request brings about by itself; whatever else keeps an accepted job from
# completing is ours, codes that nobody has thought of yet among them.
THEIRS = frozenset({"image_too_large", "image_too_small", "invalid_parameter", "unknown_engine", "unreadable_image"})

# Where nothing has happened yet there is a 0 to rise from; without it the first failure of a kind shows in no rate.
for _operation in OPERATIONS:
    RUNNING.labels(_operation)
    QUEUE_WAIT_SECONDS.labels(_operation)
    for _status in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED):
        JOBS.labels(_operation, _status.value)
        JOB_SECONDS.labels(_operation, _status.value)
    FAILURES.labels(_operation, "internal", "ours")
    for _stage in (Stage.DOWNLOADING, Stage.INFERRING, Stage.UPLOADING):
        STAGE_SECONDS.labels(_operation, _stage.value)
for _part in ("states", "images", "model_server"):
    RETRIES.labels(_part)


def job_ended(state: JobState) -> None:
    """Count a job by how it ended: called by whoever wrote that end, so that each is counted once."""
    JOBS.labels(state.operation, state.status.value).inc()
    seconds = (state.updated_at - state.created_at).total_seconds()
    JOB_SECONDS.labels(state.operation, state.status.value).observe(seconds)
    if state.status is JobStatus.FAILED:
        fault = "theirs" if state.error_code in THEIRS else "ours"
        FAILURES.labels(state.operation, state.error_code, fault).inc()


class RunnerMetrics:
    """The RunnerObserver that counts."""

    def claimed(self, before: JobState, claimed: JobState) -> None:
        if before.status is JobStatus.PROCESSING:
            TAKEOVERS.inc()
        if "queued" not in before.timings:
            # Else it had been begun before, and its wait has been counted.
            QUEUE_WAIT_SECONDS.labels(claimed.operation).observe(claimed.timings["queued"])

    def working(self, claimed: JobState) -> AbstractContextManager[object]:
        return RUNNING.labels(claimed.operation).track_inprogress()

    @contextmanager
    def stage(self, state: JobState, stage: Stage) -> Iterator[None]:
        began = time.monotonic()
        yield
        STAGE_SECONDS.labels(state.operation, stage.value).observe(time.monotonic() - began)

    def retried(self, part: str) -> None:
        RETRIES.labels(part).inc()

    def released(self, state: JobState, reason: str) -> None:  # noqa: ARG002 - the protocol's
        RELEASED.labels(reason).inc()

    def ended(self, state: JobState) -> None:
        job_ended(state)
