"""The worker pods of one operation: each has a few jobs in hand, and lets them go when it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import simpy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from bench.simulation.assumptions import Assumptions
    from bench.simulation.cards import Triton
    from bench.simulation.queue import Job, Subscription


class Worker:
    """One pod, from the moment it was asked for."""

    def __init__(self) -> None:
        self.ready = False
        self.stopping = False
        # Its threads, and whether each has a job.
        self.threads: dict[simpy.Process, bool] = {}


class Pool:
    """The Deployment of one operation's workers."""

    def __init__(
        self,
        env: simpy.Environment,
        assumed: Assumptions,
        chance: Random,
        *,
        queue: Subscription,
        triton: Triton,
        jobs_each: int,
    ) -> None:
        self._env, self._assumed, self._chance = env, assumed, chance
        self.queue, self.triton, self._jobs_each = queue, triton, jobs_each
        self._workers: list[Worker] = []

    @property
    def replicas(self) -> int:
        """Return how many were asked for."""
        return len(self._workers)

    @property
    def ready(self) -> int:
        """Return how many take jobs."""
        return sum(worker.ready for worker in self._workers)

    def scale(self, replicas: int, *, at_once: bool = False) -> None:
        """Start or stop workers until so many are asked for; the newest go first."""
        while len(self._workers) < replicas:
            worker = Worker()
            self._workers.append(worker)
            self._env.process(self._run(worker, 0 if at_once else self._chance.uniform(*self._assumed.worker_start)))
        while len(self._workers) > replicas:
            self._env.process(self._stop(self._workers.pop()))

    def _run(self, worker: Worker, start: float) -> Iterator[simpy.Event]:
        yield self._env.timeout(start)
        # Where it was stopped meanwhile, its threads end as they begin.
        worker.ready = True
        for _ in range(self._jobs_each):
            worker.threads[self._env.process(self._thread(worker))] = False

    def _stop(self, worker: Worker) -> Iterator[simpy.Event]:
        worker.stopping = True
        # It stops pulling at once; what it has may end within the drain time.
        for thread in [thread for thread, busy in worker.threads.items() if not busy and thread.is_alive]:
            thread.interrupt()
        yield self._env.timeout(self._assumed.drain)
        for thread in [thread for thread in worker.threads if thread.is_alive]:
            thread.interrupt()

    def _thread(self, worker: Worker) -> Iterator[simpy.Event]:
        this = self._env.active_process
        while not worker.stopping:
            pull = self.queue.waiting.get()
            try:
                job = yield pull
            except simpy.Interrupt:
                # The message may have come in the same instant.
                if pull.triggered:
                    self.queue.hand_back(pull.value)
                else:
                    pull.cancel()
                return
            worker.threads[this] = True
            yield from self._work(job)
            worker.threads[this] = False

    def _work(self, job: Job) -> Iterator[simpy.Event]:
        call = None
        try:
            yield self._env.timeout(self._assumed.download)
            call = self.triton.infer(job.operation)
            yield call.done
            yield self._env.timeout(self._assumed.upload)
        except simpy.Interrupt:
            if call is not None:
                call.cancelled = True
            self.queue.hand_back(job)
            return
        self.queue.ack(job)
