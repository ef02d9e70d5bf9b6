"""States in a dictionary, for unit tests: same contract, no database."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from jobs.errors import StateMissing, Superseded

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from uuid import UUID

    from jobs.states import JobState


class MemoryStateStore:
    def __init__(self) -> None:
        self._states: dict[UUID, JobState] = {}
        self._lock = threading.Lock()
        self.feeds: dict[str, int] = {}

    def create(self, state: JobState) -> bool:
        with self._lock:
            if state.job_id in self._states:
                return False
            self._states[state.job_id] = state
            return True

    def read(self, job_id: UUID) -> tuple[JobState, Hashable]:
        with self._lock:
            if job_id not in self._states:
                raise StateMissing(f"Job {job_id} has no state.")
            state = self._states[job_id]
        return state, state.version

    def read_many(self, job_ids: Iterable[UUID]) -> dict[UUID, JobState]:
        with self._lock:
            return {job_id: self._states[job_id] for job_id in job_ids if job_id in self._states}

    def write(self, state: JobState, *, expected: Hashable) -> Hashable:
        with self._lock:
            stored = self._states.get(state.job_id)
            if stored is None or stored.version != expected:
                raise Superseded(stored)
            self._states[state.job_id] = state
        return state.version

    def raise_feed(self, owner: str) -> None:
        with self._lock:
            self.feeds[owner] = self.feeds.get(owner, 0) + 1

    def delete(self, job_ids: Iterable[UUID]) -> None:
        with self._lock:
            for job_id in job_ids:
                self._states.pop(job_id, None)
