"""Numbers come late, and an autoscaler sees no other."""

from __future__ import annotations

from random import Random

import simpy

from bench.simulation.assumptions import Assumptions
from bench.simulation.metrics import LateGauge, RecentAverage
from bench.simulation.queue import Subscription


class TestALateGauge:
    def test_has_no_value_before_the_first_is_visible(self) -> None:
        gauge = LateGauge()
        gauge.sample(7, visible_at=90)

        assert gauge.read(89) is None
        assert gauge.read(90) == 7

    def test_shows_no_older_value_after_a_newer_one(self) -> None:
        gauge = LateGauge()
        gauge.sample(1, visible_at=120)
        gauge.sample(2, visible_at=100)

        assert gauge.read(110) is None
        assert gauge.read(120) == 2


class TestARecentAverage:
    def test_is_zero_when_nothing_happened_lately(self) -> None:
        average = RecentAverage(60)
        average.add(30, now=0)
        average.add(10, now=30)

        assert (average.read(59), average.read(60), average.read(90)) == (20, 10, 0)


class TestTheCountOfASubscription:
    def test_is_seen_one_to_three_minutes_late(self) -> None:
        env = simpy.Environment()
        queue = Subscription(env, "upscale")
        env.process(queue.counting(Assumptions(), Random(1)))  # noqa: S311 - no secret
        env.run(until=600)
        queue.publish()

        seen = []
        for now in range(601, 800):
            env.run(until=now)
            seen.append((now - 600, queue.count.read(now)))

        first = min(late for late, count in seen if count == 1)
        assert 60 <= first <= 180

    def test_has_jobs_that_a_worker_holds(self) -> None:
        env = simpy.Environment()
        queue = Subscription(env, "upscale")
        queue.publish()
        queue.waiting.get()
        env.run(until=1)

        assert queue.undelivered == 1
