"""
What a worker does with one job: claim -> download -> Triton -> upload -> finish. No SQL and no Django in here.

An outage of the model server or a store is waited out in place while the lease is kept; then the job is handed back.
"""

from __future__ import annotations

import io
import random
import time
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import stamina
import structlog

from inference.client import Cancellation, InferenceRequest
from inference.errors import InferenceCancelled, InferenceRefused, InferenceTimeout, InferenceUnavailable
from jobs import trace
from jobs.errors import AttemptsExhausted, NotClaimable, ObjectMissing, StateMissing, Superseded
from jobs.image_store import output_path
from jobs.lease import Draining, Lease, LeaseLost, LeaseTerms
from jobs.observer import NoObserver
from jobs.operations import OPERATIONS
from jobs.provenance import identity, provenance
from jobs.states import Stage, StoredImage

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Hashable
    from datetime import datetime
    from uuid import UUID

    from inference.client import InferenceClient, InferenceResult, Progress
    from jobs.image_store import ImageStore
    from jobs.observer import RunnerObserver
    from jobs.state_store import JobStateStore
    from jobs.states import JobState

log = structlog.get_logger(__name__)
_Answer = TypeVar("_Answer")

# Parameters with a tensor of their own; the rest travel in OPTIONS.
_TENSORS = frozenset({"prompt", "negative_prompt", "strength", "guidance_scale", "steps", "seed", "scale"})


class Outcome(Enum):
    """What became of a delivery; only a RELEASED one goes back to the queue."""

    ENDED = "ended"
    DROPPED = "dropped"
    LOST = "lost"
    RELEASED = "released"


@dataclass(frozen=True)
class Runner:
    """
    A worker's collaborators.

    `announce_end` tells whoever has SQL that a job has ended. `outage` is how long an outage is waited out.
    """

    states: JobStateStore
    images: ImageStore
    client: InferenceClient
    announce_end: Callable[[UUID], None]
    clock: Callable[[], datetime]
    terms: LeaseTerms
    outage: timedelta
    max_attempts: int
    inference_timeout: timedelta
    draining: threading.Event
    on_thread_end: Callable[[], None]
    crash_pause: timedelta = timedelta(seconds=3)
    observer: RunnerObserver = field(default_factory=NoObserver)

    def run(self, job_id: UUID) -> Outcome:
        """Work on one delivery of a job. Safe to call any number of times, at once, from any number of workers."""
        with structlog.contextvars.bound_contextvars(job_id=str(job_id)):
            try:
                state, version = self._claim(job_id)
            except (NotClaimable, StateMissing, Superseded) as reason:
                # The sweep looks after a job that still needs a worker.
                log.info("delivery_dropped", reason=type(reason).__name__)
                return Outcome.DROPPED
            except AttemptsExhausted:
                return self._park(job_id)
            with self.observer.working(state):
                return self._work(state, version)

    def _claim(self, job_id: UUID) -> tuple[JobState, Hashable]:
        state, version = self._patiently("states", lambda: self.states.read(job_id))
        claimed = state.claim(now=self.clock(), lease=self.terms.duration, max_attempts=self.max_attempts)
        log.info("job_claimed", attempt=claimed.attempt, takeover=state.attempt > 0)
        version = self._patiently("states", lambda: self.states.write(claimed, expected=version))
        self.observer.claimed(state, claimed)
        return claimed, version

    def _park(self, job_id: UUID) -> Outcome:
        state, version = self.states.read(job_id)
        parked = exhausted(state, now=self.clock())
        try:
            self.states.write(parked, expected=version)
        except Superseded:
            return Outcome.DROPPED
        self.observer.ended(parked)
        self._announce(job_id)
        return Outcome.ENDED

    def _work(self, state: JobState, version: Hashable) -> Outcome:
        cancellation = Cancellation()
        lease = Lease(
            states=self.states,
            state=state,
            version=version,
            terms=self.terms,
            clock=self.clock,
            draining=self.draining,
            on_stop=cancellation.cancel,
            on_thread_end=self.on_thread_end,
        )
        with lease:
            try:
                last = self._attempt(lease, cancellation)
                self._patiently("states", lambda: lease.move(last))
            except LeaseLost:
                log.info("job_lost", attempt=state.attempt)
                return Outcome.LOST
            except Exception as error:
                if not isinstance(error, Draining) and not getattr(error, "retryable", False):
                    raise
                return self._release(lease, reason=type(error).__name__)
        self.observer.ended(lease.state)
        self._announce(state.job_id)
        log.info("job_ended", status=lease.state.status.value, code=lease.state.error_code or None)
        return Outcome.ENDED

    def _attempt(self, lease: Lease, cancellation: Cancellation) -> Callable[[JobState], JobState]:
        """Do the work and return the move that ends the job; raises what is to be released or was lost."""
        try:
            return self._produce(lease, cancellation)
        except InferenceRefused as refusal:
            return self._failure(refusal.code, str(refusal))
        except InferenceTimeout:
            seconds = self.inference_timeout.total_seconds()
            return self._failure("timeout", f"The model did not finish within {seconds:.0f} seconds.")
        except ObjectMissing as error:
            return self._failure(error.code, str(error))
        except AttemptsExhausted:
            return lambda state: exhausted(state, now=self.clock())
        except (LeaseLost, Draining):
            raise
        except Exception as error:
            if getattr(error, "retryable", False):
                raise
            log.exception("job_broke")
            return self._failure("internal", "Something went wrong on our side. You were not charged.")

    def _produce(self, lease: Lease, cancellation: Cancellation) -> Callable[[JobState], JobState]:
        started = time.monotonic()
        with self.observer.stage(lease.state, Stage.DOWNLOADING):
            image = self._patiently("images", lambda: self.images.read(lease.state.input.path), lease)
        downloaded = time.monotonic()
        with self.observer.stage(lease.state, Stage.INFERRING):
            result = self._infer(lease, cancellation, image)
        inferred = time.monotonic()
        with self.observer.stage(lease.state, Stage.UPLOADING):
            lease.report(Stage.UPLOADING)
            output = _output(lease.state, result)
            self._patiently("images", lambda: self.images.write(output.path, io.BytesIO(result.image)), lease)
        timings = {
            "downloading": round(downloaded - started, 4),
            "inferring": round(inferred - downloaded, 4),
            "uploading": round(time.monotonic() - inferred, 4),
        }
        made_by, how = identity(result.info), provenance(result.info, asked=lease.state.params)
        return lambda state: state.complete(
            now=self.clock(), output=output, engine=made_by, provenance=how, timings=timings, preview=result.preview
        )

    def _infer(self, lease: Lease, cancellation: Cancellation, image: bytes) -> InferenceResult:
        def on_progress(progress: Progress) -> None:
            lease.report(Stage.INFERRING, fraction=progress.fraction, preview=progress.preview)

        def infer() -> InferenceResult:
            return self.client.infer(
                _request(lease.state, image),
                timeout=self.inference_timeout.total_seconds(),
                on_progress=on_progress,
                cancellation=cancellation,
            )

        while True:
            lease.report(Stage.INFERRING)
            try:
                return self._patiently("model_server", infer, lease)
            except InferenceCancelled:
                lease.check()
                raise
            except InferenceUnavailable as error:
                if not error.started:
                    raise
                self._begin_again(lease)

    def _begin_again(self, lease: Lease) -> None:
        """
        Count an attempt that took the model server with it.

        Waiting it out like any other outage would send a photo that kills the server to it for ever. Jobs that were
        merely there at the time come back at different moments, so that they do not all die of the same photo again.
        """
        log.warning("model_server_lost_in_mid_job", attempt=lease.state.attempt)
        lease.move(
            lambda state: state.begin_again(now=self.clock(), lease=self.terms.duration, max_attempts=self.max_attempts)
        )
        pause = random.uniform(0, self.crash_pause.total_seconds()) * lease.state.attempt  # noqa: S311 - not a secret
        end = time.monotonic() + pause
        while time.monotonic() < end:
            lease.check()
            time.sleep(min(0.1, pause))

    def _patiently(self, part: str, call: Callable[[], _Answer], lease: Lease | None = None) -> _Answer:
        """
        Wait out an outage of a part ("states", "images", "model_server").

        Raises the last error when it lasts too long, and stops early when the lease is lost.
        """
        for attempt in stamina.retry_context(
            on=_worth_waiting,
            attempts=None,
            timeout=self.outage.total_seconds(),
            wait_initial=0.2,
            wait_max=2.0,
            wait_jitter=0.2,
        ):
            with attempt:
                if attempt.num > 1:
                    self.observer.retried(part)
                if lease is not None:
                    lease.check()
                return call()
        raise AssertionError("stamina either returns, raises or tries again")

    def _failure(self, code: str, message: str) -> Callable[[JobState], JobState]:
        return lambda state: state.fail(now=self.clock(), code=code, message=message)

    def _release(self, lease: Lease, *, reason: str) -> Outcome:
        try:
            lease.move(lambda state: state.release(now=self.clock()))
        except LeaseLost:
            return Outcome.LOST
        except Exception as error:  # noqa: BLE001 - the store is what is away: the lease runs out and the sweep finds it
            log.warning("release_failed", error=type(error).__name__)
        self.observer.released(lease.state, reason)
        log.info("job_released", reason=reason)
        return Outcome.RELEASED

    def _announce(self, job_id: UUID) -> None:
        try:
            self.announce_end(job_id)
        except Exception:
            # The job has ended, whatever becomes of the announcement: the sweep settles it.
            log.exception("announce_failed")


def exhausted(state: JobState, *, now: datetime) -> JobState:
    """Return a job that was begun too often as the failure it ends with."""
    return state.fail(
        now=now,
        code=AttemptsExhausted.code,
        message=f"The job was begun {state.attempt} times and never finished. You were not charged.",
    )


def _worth_waiting(error: Exception) -> bool:
    """Tell an outage from a server that died of this very job: waiting helps against the first."""
    return getattr(error, "retryable", False) and not getattr(error, "started", False)


def _request(state: JobState, image: bytes) -> InferenceRequest:
    given = {name: value for name, value in state.params.items() if value is not None}
    tensors: dict[str, Any] = {name: value for name, value in given.items() if name in _TENSORS}
    return InferenceRequest(
        model=OPERATIONS[state.operation].model,
        image=image,
        request_id=str(state.job_id),
        options={name: value for name, value in given.items() if name not in _TENSORS},
        traceparent=context.traceparent if (context := trace.current()) else "",
        **tensors,
    )


def _output(state: JobState, result: InferenceResult) -> StoredImage:
    suffix = str(result.info["format"])
    return StoredImage(
        path=output_path(state.job_id, state.attempt, "jpg" if suffix == "jpeg" else suffix),
        width=int(str(result.info["width"])),
        height=int(str(result.info["height"])),
        bytes=len(result.image),
        format=suffix,
    )
