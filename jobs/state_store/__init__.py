"""The live state of jobs: the protocol; sql.py for one machine, firestore.py for the cloud, memory.py for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from uuid import UUID

    from jobs.states import JobState


class JobStateStore(Protocol):
    """
    Versioned snapshots of job states.

    Every method may raise Unavailable, which is worth a retry.
    """

    def create(self, state: JobState) -> bool:
        """Store a first state if the job has none; return whether this call did it."""

    def read(self, job_id: UUID) -> tuple[JobState, Hashable]:
        """
        Return the newest state and the version to expect when writing the next one.

        Raises StateMissing.
        """

    def read_many(self, job_ids: Iterable[UUID]) -> dict[UUID, JobState]:
        """Return the states of those jobs that have one."""

    def write(self, state: JobState, *, expected: Hashable) -> Hashable:
        """
        Replace the stored state if its version is still expected; return the new version.

        One round trip: a worker chains the version of its own last write. Raises Superseded, carrying the state that
        won (None where it was deleted); then nothing is written.
        """

    def raise_feed(self, owner: str) -> None:
        """Tell whoever watches this owner that a job was added."""

    def delete(self, job_ids: Iterable[UUID]) -> None:
        """Forget these jobs; missing ones are no error."""
