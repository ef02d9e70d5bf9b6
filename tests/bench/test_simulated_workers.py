"""Workers that come and go, with jobs in hand."""

from __future__ import annotations

from random import Random

import pytest
import simpy

from bench.simulation.assumptions import Assumptions
from bench.simulation.cards import Triton
from bench.simulation.queue import Subscription
from bench.simulation.workers import Pool

ASSUMED = Assumptions(jitter=0)
ALONE = ASSUMED.seconds_alone["enhance"]


@pytest.fixture
def env() -> simpy.Environment:
    return simpy.Environment()


@pytest.fixture
def pool(env: simpy.Environment) -> Pool:
    chance = Random(1)  # noqa: S311 - no secret
    triton = Triton(env, ASSUMED, chance, threads_of_a_model=4)
    triton.scale(1, at_once=True)
    pool = Pool(env, ASSUMED, chance, queue=Subscription(env, "enhance"), triton=triton, jobs_each=2)
    pool.scale(1, at_once=True)
    env.run(until=1)
    return pool


class TestAWorker:
    def test_has_so_many_jobs_at_once_and_no_more(self, env: simpy.Environment, pool: Pool) -> None:
        for _ in range(5):
            pool.queue.publish()

        env.run(until=2)

        assert (pool.queue.undelivered, len(pool.queue.waiting.items)) == (5, 3)

    def test_that_is_stopped_ends_what_it_can_within_the_drain_time(self, env: simpy.Environment, pool: Pool) -> None:
        job = pool.queue.publish()
        env.run(until=1 + ALONE - ASSUMED.drain + 1)

        pool.scale(0)
        env.run(until=200)

        assert job.finished_at == pytest.approx(1 + ALONE)
        assert job.handed_back == 0

    def test_that_is_stopped_hands_back_what_it_cannot_end(self, env: simpy.Environment, pool: Pool) -> None:
        job = pool.queue.publish()
        env.run(until=5)

        pool.scale(0)
        env.run(until=200)

        assert job.finished_at is None
        assert (job.handed_back, pool.queue.undelivered, pool.queue.waiting.items) == (1, 1, [job])

    def test_that_is_stopped_tells_triton_not_to_begin_its_request(self, env: simpy.Environment, pool: Pool) -> None:
        # The card is at something else for the first half a minute.
        pool.triton.infer("enhance")
        pool.queue.publish()
        env.run(until=5)

        pool.scale(0)
        env.run(until=200)

        assert pool.triton.busy_seconds == pytest.approx(ASSUMED.seconds_on_card("enhance", 1))

    def test_that_is_stopped_as_a_job_comes_puts_it_back(self, env: simpy.Environment, pool: Pool) -> None:
        jobs = [pool.queue.publish() for _ in range(2)]
        # After the messages have been given to the worker, and before it has heard of them.
        env.timeout(0).callbacks.append(lambda _: pool.scale(0))

        env.run(until=200)

        assert sorted(pool.queue.waiting.items, key=id) == sorted(jobs, key=id)
        assert [job.handed_back for job in jobs] == [1, 1]

    def test_that_was_not_ready_yet_takes_nothing_once_it_is_stopped(self, env: simpy.Environment, pool: Pool) -> None:
        pool.scale(0)
        pool.scale(1)
        pool.scale(0)
        pool.queue.publish()

        env.run(until=200)

        assert (pool.ready, pool.replicas, pool.queue.undelivered) == (0, 0, 1)
