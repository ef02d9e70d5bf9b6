"""
A storm over the cloud's services: parts are killed with SIGKILL and started again while jobs run.

What chance decides comes from the seed; when processes meet, no seed can repeat.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from jobs.operations import OPERATIONS
from jobs.states import JobStatus
from tests.cloud_site import WORKERS
from tests.photos import SUBJECTS, photo
from tests.running_site import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

    from jobs.states import JobState
    from tests.cloud_fixtures import Cloud
    from tests.witness import Witness

PATHS = {operation.name: operation.path for operation in OPERATIONS.values()}
_SAY_EVERY_SECONDS = 5.0
# Of the five workers, at once.
_MOST_DEAD = 2


@dataclass(frozen=True)
class Plan:
    """
    How many jobs, and how often what is killed; each pause is drawn between half and one and a half of the mean.

    storm_seconds: after which nothing more is killed; until all jobs have ended, if that is earlier. seconds: within which
    all jobs must have ended and been settled.
    """

    jobs: int
    seed: int
    seconds: float
    storm_seconds: float
    worker_every: float = 2.0
    webhooks_every: float = 10.0
    triton_every: float = 60.0
    triton_times: int = 100
    # Of the sweep: a job that waits longer for its worker gets another message, and the longer the queue, the more do.
    republish_seconds: int = 60


@dataclass
class Storm:
    """Kills while its `with` block runs; afterwards everything runs."""

    cloud: Cloud
    plan: Plan
    killed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._strikes: list[Future[None]] = []

    def __enter__(self) -> Self:
        draw = random.Random(self.plan.seed)  # noqa: S311 - no secret
        strikes = {
            "worker": (self.plan.worker_every, self._strike_worker),
            "webhooks": (self.plan.webhooks_every, self._strike_webhooks),
            "triton": (self.plan.triton_every, self._strike_triton),
        }
        for part, (every, strike) in strikes.items():
            self._strikes.append(self.cloud.hands.submit(self._strike, part, every, strike, draw.random()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for strikes in self._strikes:
            # Raises what broke a storm that should have gone on.
            strikes.result(120)

    def _strike(self, part: str, every: float, strike: Callable[[random.Random], bool], seed: float) -> None:
        draw = random.Random(seed)  # noqa: S311 - no secret
        calm_at = time.monotonic() + self.plan.storm_seconds
        while not self._over.wait(every * draw.uniform(0.5, 1.5)) and time.monotonic() < calm_at:
            self.killed[part] += strike(draw)

    def _strike_worker(self, draw: random.Random) -> bool:
        # One that is still starting holds no job: to kill it would prove nothing. And on a slow machine, where workers
        # start more slowly than they are killed, none would ever get to work.
        up = [name for name in sorted(WORKERS.values()) if self.cloud.site.takes_jobs(name)]
        if len(up) <= _MOST_DEAD:
            return False
        self.cloud.site.restart(draw.choice(up))
        return True

    def _strike_webhooks(self, _draw: random.Random) -> bool:
        up = self.cloud.site.answers("webhooks")
        if up:
            self.cloud.site.restart("webhooks")
        return up

    def _strike_triton(self, _draw: random.Random) -> bool:
        if self.killed["triton"] == self.plan.triton_times:
            return False
        self.cloud.triton.kill()
        # Waits until it serves again.
        self.cloud.triton.start()
        return True


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs of a storm, by job id, and what it took."""

    states: dict[str, list[JobState]]
    killed: Counter[str]
    seconds: float

    def last(self, job_id: str) -> JobState:
        return self.states[job_id][-1]


def run(cloud: Cloud, witness: Witness, plan: Plan) -> Outcome:
    """Send the jobs while parts are killed, and wait until all have ended and been settled."""
    began = time.monotonic()
    draw = random.Random(plan.seed)  # noqa: S311 - no secret
    job_ids: list[str] = []
    say(f"seed {plan.seed}, {plan.jobs} jobs")
    cloud.site.stop_process("sweep")
    cloud.site.start("sweep", JOB_REPUBLISH_SECONDS=str(plan.republish_seconds))
    with Storm(cloud, plan) as storm:
        reporter = _Reporter(witness, storm, job_ids)

        def ended() -> bool:
            reporter.report()
            return len(job_ids) == plan.jobs and not reporter.open_jobs

        for number in range(plan.jobs):
            operation = list(PATHS)[number % len(PATHS)]
            image = photo(draw.randrange(48, 144, 8), draw.choice(SUBJECTS))
            job_id = str(cloud.site.submit(PATHS[operation], image)["job_id"])
            witness.watch(job_id)
            job_ids.append(job_id)
            reporter.report()
        left = plan.seconds - (time.monotonic() - began)
        wait_until(ended, seconds=left, what=f"the end of all {plan.jobs} jobs")
    cloud.site.start_all()
    left = plan.seconds - (time.monotonic() - began)
    wait_until(
        lambda: not cloud.site.accounts(job_ids).unsettled, seconds=left, what=f"the settling of all {plan.jobs} jobs"
    )
    seconds = time.monotonic() - began
    say(f"all ended and settled after {seconds:.0f} s; killed {dict(storm.killed)}")
    say(f"the witness's stream broke {witness.breaks} times")
    return Outcome({job_id: witness.states(job_id) for job_id in job_ids}, storm.killed, seconds)


def faults_of(states: list[JobState]) -> list[str]:
    """Say what of a job's states, in the order in which they were seen, must never be."""
    faults = []
    for before, after in pairwise(states):
        if after.version == before.version:
            faults.append(f"version {after.version} was written twice: {before.status} and {after.status}")
        if after.version < before.version:
            faults.append(f"version {before.version} was followed by {after.version}")
        if before.status.terminal:
            faults.append(f"{before.status} was followed by {after.status}")
    completed = sum(state.status is JobStatus.COMPLETED for state in states)
    if completed > 1:
        faults.append(f"completed {completed} times")
    return faults


def unseen_versions(states: list[JobState]) -> set[int]:
    """Return the versions, up to the last one seen, that the witness was not told of."""
    return set(range(1, states[-1].version + 1)) - {state.version for state in states}


class _Reporter:
    """Says every few seconds how far it is."""

    def __init__(self, witness: Witness, storm: Storm, job_ids: list[str]) -> None:
        self._witness, self._storm, self._job_ids = witness, storm, job_ids
        self._began = self._said = time.monotonic()

    @property
    def open_jobs(self) -> list[str]:
        newest = self._witness.newest()
        return [job for job in self._job_ids if job not in newest or not newest[job].status.terminal]

    def report(self) -> None:
        now = time.monotonic()
        if now - self._said < _SAY_EVERY_SECONDS:
            return
        self._said = now
        newest = self._witness.newest()
        states = Counter(newest[job].status.value for job in self._job_ids if job in newest)
        say(f"{now - self._began:3.0f} s: {len(self._job_ids)} sent, {dict(states)}, killed {dict(self._storm.killed)}")


def say(line: str) -> None:
    # Seen with -s, and in the report of a failure.
    sys.stdout.write(f"chaos: {line}\n")
    sys.stdout.flush()
