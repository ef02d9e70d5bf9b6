"""A Pub/Sub subscription: jobs that wait, jobs that a worker has in hand, and the count that monitoring has of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import simpy

from bench.simulation.metrics import LateGauge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from bench.simulation.assumptions import Assumptions


class DoneTwice(Exception):
    """A job was acknowledged that had been before: the simulation is wrong."""


@dataclass(eq=False)
class Job:
    """One job and what became of it; times in seconds of the simulation."""

    operation: str
    submitted_at: float
    finished_at: float | None = None
    handed_back: int = field(default=0)


class Subscription:
    """The queue of one operation."""

    def __init__(self, env: simpy.Environment, operation: str) -> None:
        self._env = env
        self.operation = operation
        self.waiting = simpy.Store(env)
        # num_undelivered_messages counts what is not acknowledged, in hand or not.
        self.undelivered = 0
        self.count = LateGauge()

    def publish(self) -> Job:
        """Put a new job in."""
        job = Job(self.operation, submitted_at=self._env.now)
        self.undelivered += 1
        self.waiting.put(job)
        return job

    def ack(self, job: Job) -> None:
        """Take a finished job out for good. Raises DoneTwice."""
        if job.finished_at is not None:
            raise DoneTwice(f"A job of {self.operation} that ended at {job.finished_at:.0f} s ended again.")
        job.finished_at = self._env.now
        self.undelivered -= 1

    def hand_back(self, job: Job) -> None:
        """Put back what a worker had to let go."""
        job.handed_back += 1
        self.waiting.put(job)

    def counting(self, assumed: Assumptions, chance: Random) -> Iterator[simpy.Event]:
        """Run Cloud Monitoring's count of this subscription, for as long as the simulation goes."""
        yield self._env.timeout(chance.uniform(0, assumed.backlog_every))
        while True:
            self.count.sample(self.undelivered, visible_at=self._env.now + chance.uniform(*assumed.backlog_late))
            yield self._env.timeout(assumed.backlog_every)
