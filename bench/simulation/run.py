"""One run: a spike of jobs on the deployed autoscalers, and what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import simpy

from bench.simulation.assumptions import OPERATIONS, Assumptions
from bench.simulation.autoscaler import Controller
from bench.simulation.cards import Triton
from bench.simulation.manifests import PENDING_REQUESTS, QUEUE_SECONDS, TRITON, subscription
from bench.simulation.queue import Job, Subscription
from bench.simulation.workers import Pool
from bench.tables import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.simulation.autoscaler import Autoscaler
    from bench.simulation.manifests import Deployed

_LOOK_EVERY = 15.0


@dataclass(frozen=True)
class Scenario:
    """
    What is asked of the system: so many jobs at once, and so many a minute from then on, evenly over the operations.

    The jobs of the stream come by chance (Poisson), for so many hours.
    """

    jobs: int = 100
    spike_at: float = 300
    jobs_a_minute: float = 0
    hours: float = 0
    seed: int = 1
    # A run ends when all is quiet again, or here.
    longest: float = 30 * 24 * 3600


@dataclass(frozen=True)
class Look:
    """The system at one moment; replicas are what was asked for, ready what answers."""

    at: float
    jobs_left: int
    workers: int
    workers_ready: int
    cards: int
    cards_ready: int
    pending: int


@dataclass
class Result:
    """What a run showed."""

    scenario: Scenario
    looks: list[Look]
    jobs: list[Job] = field(repr=False)
    card_seconds_busy: float

    @property
    def drained_at(self) -> float | None:
        """Return when the last job ended; None when one has not."""
        ends = [job.finished_at for job in self.jobs]
        return None if None in ends else max(end for end in ends if end is not None)

    def waited(self, percent: float) -> float:
        """Return how long a job took, from its submission to its end, at this percentile."""
        return percentile([job.finished_at - job.submitted_at for job in self.jobs if job.finished_at], percent)

    @property
    def cards_paid_hours(self) -> float:
        """Return the hours of cards from the spike until all was quiet; a card is paid for while its node starts."""
        return sum(look.cards for look in self.looks if look.at >= self.scenario.spike_at) * _LOOK_EVERY / 3600

    @property
    def cards_computing(self) -> float:
        """Return how much of the time the cards that answer computed, from the spike to the last job's end."""
        end = self.drained_at or self.looks[-1].at
        answering = sum(look.cards_ready for look in self.looks if self.scenario.spike_at <= look.at <= end)
        return self.card_seconds_busy / (answering * _LOOK_EVERY)

    def at(self, seconds: float) -> Look:
        """Return the last look at or before a time."""
        return max((look for look in self.looks if look.at <= seconds), key=lambda look: look.at)


class Cluster:
    """Queues, worker pools, Triton and their autoscalers, wired."""

    def __init__(self, deployed: Deployed, assumed: Assumptions, scenario: Scenario) -> None:
        self.env, self.assumed, self.scenario = simpy.Environment(), assumed, scenario
        self._chance = Random(scenario.seed)  # noqa: S311 - no secret
        self._jobs_each = deployed.jobs_of_a_worker
        autoscalers = deployed.autoscalers
        workers = [each for name, each in sorted(autoscalers.items()) if name != TRITON]
        self.queues = {subscription(each): self._subscription(subscription(each)) for each in workers}
        self.triton = Triton(self.env, assumed, self._chance, threads_of_a_model=deployed.threads_of_a_model)
        self.pools = [self._pool(each) for each in workers]
        self.jobs: list[Job] = []
        self.looks: list[Look] = []
        self._all_submitted = False
        self._fewest_pods = sum(each.minimum for each in autoscalers.values())
        self._begin(self.triton, autoscalers[TRITON])
        for pool, each in zip(self.pools, workers, strict=True):
            self._begin(pool, each)
        self.env.process(self.triton.measuring())
        self.env.process(self._looking())

    def run(self) -> Result:
        """Run until all jobs are done and all pools are at their smallest."""
        self.env.process(self._spike())
        self.env.run(until=self.env.any_of([self.env.process(self._quiet()), self.env.timeout(self.scenario.longest)]))
        return Result(self.scenario, self.looks, self.jobs, self.triton.busy_seconds)

    def _subscription(self, name: str) -> Subscription:
        queue = Subscription(self.env, OPERATIONS[name])
        self.env.process(queue.counting(self.assumed, self._chance))
        return queue

    def _pool(self, autoscaler: Autoscaler) -> Pool:
        return Pool(
            self.env,
            self.assumed,
            self._chance,
            queue=self.queues[subscription(autoscaler)],
            triton=self.triton,
            jobs_each=self._jobs_each,
        )

    def _begin(self, pool: Pool | Triton, autoscaler: Autoscaler) -> None:
        pool.scale(autoscaler.minimum, at_once=True)
        self.env.process(self._autoscaling(pool, Controller(autoscaler, replicas=autoscaler.minimum)))

    def _autoscaling(self, pool: Pool | Triton, controller: Controller) -> Iterator[simpy.Event]:
        # Controllers look at different moments of the same period.
        yield self.env.timeout(self._chance.uniform(0, self.assumed.sync))
        while True:
            readings = {target.metric: self._reading(target.metric) for target in controller.settings.targets}
            decided = controller.decide(now=self.env.now, replicas=pool.replicas, ready=pool.ready, readings=readings)
            if decided != pool.replicas:
                pool.scale(decided)
            yield self.env.timeout(self.assumed.sync)

    def _reading(self, metric: str) -> float | None:
        gauges = {QUEUE_SECONDS: self.triton.queue_seconds, PENDING_REQUESTS: self.triton.pending_requests}
        gauge = gauges[metric] if metric in gauges else self.queues[metric].count
        return gauge.read(self.env.now)

    def _spike(self) -> Iterator[simpy.Event]:
        yield self.env.timeout(self.scenario.spike_at)
        queues = list(self.queues.values())
        self.jobs += [queues[number % len(queues)].publish() for number in range(self.scenario.jobs)]
        ends_at = self.env.now + self.scenario.hours * 3600
        while self.scenario.jobs_a_minute and self.env.now < ends_at:
            yield self.env.timeout(self._chance.expovariate(self.scenario.jobs_a_minute / 60))
            self.jobs.append(self._chance.choice(queues).publish())
        self._all_submitted = True

    def _looking(self) -> Iterator[simpy.Event]:
        while True:
            self.looks.append(self._look())
            yield self.env.timeout(_LOOK_EVERY)

    def _look(self) -> Look:
        return Look(
            at=self.env.now,
            jobs_left=sum(queue.undelivered for queue in self.queues.values()),
            workers=sum(pool.replicas for pool in self.pools),
            workers_ready=sum(pool.ready for pool in self.pools),
            cards=self.triton.replicas,
            cards_ready=self.triton.ready,
            pending=sum(card.pending for card in self.triton.cards),
        )

    def _quiet(self) -> Iterator[simpy.Event]:
        while True:
            yield self.env.timeout(_LOOK_EVERY)
            look = self._look()
            if self._all_submitted and not look.jobs_left and look.workers + look.cards <= self._fewest_pods:
                return


def simulate(deployed: Deployed, *, assumed: Assumptions | None = None, scenario: Scenario | None = None) -> Result:
    """Run one scenario. Equal arguments give equal results."""
    return Cluster(deployed, assumed or Assumptions(), scenario or Scenario()).run()
