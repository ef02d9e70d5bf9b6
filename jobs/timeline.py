"""What happened to a job and when: its live history, what SQL noted, and where its credits went; pure, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.states import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from billing.services import StatementLine
    from jobs.models import Job
    from jobs.states import JobState, StageChange


@dataclass(frozen=True)
class Event:
    """One line: what happened, and how many seconds after the line before it."""

    at: datetime
    what: str
    detail: str = ""
    after: float = 0.0


def timeline(job: Job, state: JobState | None, movements: Iterable[StatementLine]) -> list[Event]:
    """Return all that is known of a job's life, oldest first; state is None once it was deleted."""
    events = [Event(job.requested_at, "Accepted", f"{job.credits:,} credits")]
    if state is not None:
        events += [_stage(change) for change in state.history if change.version > 1]
    elif job.completed_at is not None:
        events.append(Event(job.completed_at, job.status.capitalize(), f"attempt {job.attempts}"))
    events += [
        Event(at, what)
        for at, what in (
            (job.republished_at, "Put on its queue again by the sweep"),
            (job.settled_at, "Settled"),
            (job.purged_at, "Images deleted"),
        )
        if at is not None
    ]
    events += [Event(line.created_at, f"Credits: {line.kind}", f"{line.amount:,}") for line in movements]
    return _spaced(events)


def _stage(change: StageChange) -> Event:
    if change.status.terminal:
        return Event(change.at, change.status.capitalize(), f"version {change.version}")
    if change.status is JobStatus.QUEUED:
        return Event(change.at, "Handed back to its queue", f"version {change.version}")
    return Event(change.at, change.stage.capitalize(), f"version {change.version}")


def _spaced(events: list[Event]) -> list[Event]:
    # Stable: what happened in one moment keeps the order above.
    ordered = sorted(events, key=lambda event: event.at)
    before = [ordered[0], *ordered]
    return [
        Event(event.at, event.what, event.detail, (event.at - earlier.at).total_seconds())
        for earlier, event in zip(before, ordered, strict=False)
    ]
