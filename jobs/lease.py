"""
The hold of a worker on one job: a timer that renews it in every stage, reports progress, and notices a cancel.

A write that the store refuses means that somebody else moved the job; the work is stopped and nothing more is written.
"""

from __future__ import annotations

import threading
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import structlog

from jobs.errors import IllegalMove, JobError, Superseded
from jobs.states import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from datetime import datetime, timedelta
    from types import TracebackType

    from jobs.state_store import JobStateStore
    from jobs.states import JobState

log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Somebody else moved the job: cancelled it, or took it over."""


class Draining(Exception):
    """This worker is stopping: the job is to be handed back."""


@dataclass(frozen=True)
class LeaseTerms:
    """How long a hold lasts, the longest silence, and the shortest time between two writes."""

    duration: timedelta
    renew_every: timedelta
    write_every: timedelta


class Lease:
    """
    Holds a claimed job while its `with` block runs.

    `report` only notes what is new: the timer writes it, at most once every `write_every`. `on_stop` is called once,
    from the timer's thread, when the work has become pointless, so that it can be broken off in mid-call.
    """

    def __init__(
        self,
        *,
        states: JobStateStore,
        state: JobState,
        version: Hashable,
        terms: LeaseTerms,
        clock: Callable[[], datetime],
        draining: threading.Event,
        on_stop: Callable[[], None],
        on_thread_end: Callable[[], None],
    ) -> None:
        self.state = state
        self._version = version
        self._states, self._terms, self._clock = states, terms, clock
        self._draining, self._on_stop, self._on_thread_end = draining, on_stop, on_thread_end
        self._stage, self._fraction = Stage.DOWNLOADING, 0.0
        self._preview: bytes | None = None
        self._news = False
        self._stopped: type[LeaseLost | Draining] | None = None
        self._notes = threading.Lock()
        # Held during a write, so that the last write never overtakes one of the timer's.
        self._writing = threading.Lock()
        self._over = threading.Event()
        # In the context of the work, so that what it logs names the job and its trace.
        work = copy_context()
        self._timer = threading.Thread(target=lambda: work.run(self._run), name=f"lease-{state.job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._timer.join()

    def report(self, stage: Stage, *, fraction: float = 0.0, preview: bytes | None = None) -> None:
        """Note how far the work is; raises LeaseLost or Draining when it is to stop."""
        with self._notes:
            self._stage, self._fraction, self._preview = stage, fraction, preview or self._preview
            self._news = True
        self.check()

    def check(self) -> None:
        """Raise LeaseLost or Draining when the work is to stop."""
        if self._stopped is not None:
            raise self._stopped

    def move(self, make: Callable[[JobState], JobState]) -> JobState:
        """
        Write a move made from the newest state; raises LeaseLost when somebody else moved the job first.

        Raises Unavailable when the store does not answer; the move may then be tried again.
        """
        with self._writing:
            if self._stopped is LeaseLost:
                raise LeaseLost
            self._write(make(self.state))
            return self.state

    def _write(self, state: JobState) -> None:
        try:
            self._version = self._states.write(state, expected=self._version)
        except Superseded as error:
            if error.winner is None or not _same_write(error.winner, state):
                self._stop(LeaseLost)
                raise LeaseLost from error
            # Our own write had arrived although its answer did not.
            state, self._version = self._states.read(state.job_id)
        self.state = state

    def _run(self) -> None:
        silent = self._terms.write_every * 0
        try:
            while not self._over.wait(self._terms.write_every.total_seconds()):
                silent += self._terms.write_every
                if self._draining.is_set():
                    self._stop(Draining)
                if (self._news or silent >= self._terms.renew_every) and self._renew():
                    silent *= 0
                if self._stopped is LeaseLost:
                    return
        finally:
            self._on_thread_end()

    def _renew(self) -> bool:
        with self._notes:
            stage, fraction, preview, self._news = self._stage, self._fraction, self._preview, False
        with self._writing:
            if self._over.is_set():
                return False
            try:
                self._write(
                    self.state.report(
                        now=self._clock(), lease=self._terms.duration, stage=stage, fraction=fraction, preview=preview
                    )
                )
            except LeaseLost:
                return False
            except IllegalMove:
                # The last write is done and the block is about to end.
                return False
            except JobError as error:
                # An outage: the next tick tries again, and the lease holds meanwhile.
                log.warning("lease_renewal_failed", error=type(error).__name__)
                self._news = True
                return False
        return True

    def _stop(self, reason: type[LeaseLost | Draining]) -> None:
        if self._stopped is None or reason is LeaseLost:
            first = self._stopped is None
            self._stopped = reason
            if first:
                self._on_stop()


def _same_write(one: JobState, other: JobState) -> bool:
    """
    Tell whether two snapshots are one holder's same write, tried twice.

    Only the holder of an attempt writes versions of it, and never "cancelled"; the times of two tries may differ.
    """
    return (one.version, one.attempt, one.status) == (other.version, other.attempt, other.status)
