"""Who is told what a worker does with its jobs, to count it or to trace it. No library of either in here."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from jobs.states import JobState, Stage


class RunnerObserver(Protocol):
    """
    Called from the thread that works on the job. What it does is quick, and never fails.

    The two contexts last as long as the work does, and let through whatever ends it.
    """

    def claimed(self, before: JobState, claimed: JobState) -> None:
        """Hear of a job that was begun, or taken over from a worker that fell silent."""

    def working(self, claimed: JobState) -> AbstractContextManager[object]: ...

    def stage(self, state: JobState, stage: Stage) -> AbstractContextManager[object]: ...

    def retried(self, part: str) -> None:
        """Hear of one more try of what is away: "states", "images" or "model_server"."""

    def released(self, state: JobState, reason: str) -> None:
        """Hear of a job that goes back to its queue, and the error's name that sent it there."""

    def ended(self, state: JobState) -> None: ...


class NoObserver:
    def claimed(self, before: JobState, claimed: JobState) -> None: ...

    def working(self, claimed: JobState) -> AbstractContextManager[object]:  # noqa: ARG002 - the protocol's
        return nullcontext()

    def stage(self, state: JobState, stage: Stage) -> AbstractContextManager[object]:  # noqa: ARG002 - the protocol's
        return nullcontext()

    def retried(self, part: str) -> None: ...

    def released(self, state: JobState, reason: str) -> None: ...

    def ended(self, state: JobState) -> None: ...
