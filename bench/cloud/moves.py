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

from django.db import transaction
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
    """Make so many jobs, as the one that is there, each held by a worker, and return their ids."""
    job = Job.objects.first()
    assert job is not None
    made = []
    with transaction.atomic():
        for _ in range(count):
            job.id, job.requested_at = uuid4(), timezone.now()
            job.save(force_insert=True)
            held = first_state(job).claim(now=timezone.now(), lease=LEASE, max_attempts=1)
            adapters.state_store().create(held)
            made.append(str(job.id))
    return made


def move(job_ids: Sequence[str], *, writes: int, a_second: float) -> list[tuple[str, int, float, float]]:
    """Report progress of one job after another, evenly in time; return each report's job, version, begin and end."""
    store, moved = adapters.state_store(), []
    held: dict[str, tuple[JobState, Hashable]] = {}
    start = time.perf_counter()
    for number in range(writes):
        time.sleep(max(0.0, start + number / a_second - time.perf_counter()))
        job_id = job_ids[number % len(job_ids)]
        state, expected = held.get(job_id) or store.read(UUID(job_id))
        state = state.report(now=timezone.now(), lease=LEASE, stage=Stage.INFERRING, fraction=number / writes)
        began = time.perf_counter()
        held[job_id] = state, store.write(state, expected=expected)
        moved.append((job_id, state.version, began, time.perf_counter()))
    return moved


def main() -> None:
    """argv: "make" and a number; or "move", the ids with commas, the number of writes, how many a second."""
    what, *arguments = sys.argv[1:]
    if what == "make":
        print(json.dumps(make(int(arguments[0]))))
        return
    print(json.dumps(move(arguments[0].split(","), writes=int(arguments[1]), a_second=float(arguments[2]))))
