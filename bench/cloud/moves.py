"""
What a benchmark has done inside a site's settings, whichever store that is: make jobs, and move them as workers would.

Times are those of time.perf_counter(), one clock for every process of this machine.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from django.utils import timezone

from jobs import adapters
from jobs.models import Job
from jobs.services import first_state
from jobs.states import Stage

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from jobs.states import JobState

LEASE = timedelta(hours=1)


def make(count: int) -> list[str]:
    """Make so many jobs, as the one that is there, and return their ids."""
    job = Job.objects.first()
    assert job is not None
    made = []
    for _ in range(count):
        job.id, job.requested_at = uuid4(), timezone.now()
        job.save(force_insert=True)
        adapters.state_store().create(first_state(job))
        made.append(str(job.id))
    return made


def move(job_ids: Sequence[str], *, writes: int, a_second: float) -> list[tuple[str, int, float, float]]:
    """
    Claim what is not claimed; then report progress of one job after another, evenly in time.

    Returns each report's job, version, begin and end.
    """
    store, moved = adapters.state_store(), []
    held = [_hold(UUID(job_id)) for job_id in job_ids]
    start = time.perf_counter()
    for number in range(writes):
        time.sleep(max(0.0, start + number / a_second - time.perf_counter()))
        state, expected = held[number % len(held)]
        state = state.report(now=timezone.now(), lease=LEASE, stage=Stage.INFERRING, fraction=number / writes)
        began = time.perf_counter()
        held[number % len(held)] = state, store.write(state, expected=expected)
        moved.append((str(state.job_id), state.version, began, time.perf_counter()))
    return moved


def _hold(job_id: UUID) -> tuple[JobState, Hashable]:
    store = adapters.state_store()
    state, version = store.read(job_id)
    if state.attempt:
        return state, version
    claimed = state.claim(now=timezone.now(), lease=LEASE, max_attempts=5)
    return claimed, store.write(claimed, expected=version)


def main() -> None:
    """argv: "make" and a number; or "move", the ids with commas, the number of writes, how many a second."""
    what, *arguments = sys.argv[1:]
    if what == "make":
        print(json.dumps(make(int(arguments[0]))))
        return
    print(json.dumps(move(arguments[0].split(","), writes=int(arguments[1]), a_second=float(arguments[2]))))
