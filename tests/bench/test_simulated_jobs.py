"""What must be true of every run, whatever the autoscalers do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import simpy

from bench.simulation.assumptions import Assumptions
from bench.simulation.autoscaler import Policy, Rules
from bench.simulation.manifests import TRITON
from bench.simulation.queue import DoneTwice, Subscription
from bench.simulation.run import Result, Scenario, simulate
from tests.bench.deployments import deployed

# A job that is lost would keep a run going.
SPIKE = Scenario(jobs=100, longest=12 * 3600)
# Forgets a backlog at once and stops what it just started, in the middle of its jobs.
NERVOUS = Rules(window=0, policies=(Policy("Percent", 100, 15),))


def ends(result: Result) -> list[float | None]:
    return [job.finished_at for job in result.jobs]


class TestJobs:
    @pytest.mark.parametrize("seed", range(5))
    def test_are_all_done(self, seed: int) -> None:
        result = simulate(deployed(), scenario=replace(SPIKE, seed=seed))

        assert len(result.jobs) == 100
        assert None not in ends(result)
        assert result.looks[-1].jobs_left == 0

    @pytest.mark.parametrize("seed", range(3))
    def test_are_done_once_when_workers_are_stopped_in_the_middle_of_them(self, seed: int) -> None:
        nervous = deployed(cards=(1, 1))
        scaled = {
            name: each if name == TRITON else replace(each, down=NERVOUS) for name, each in nervous.autoscalers.items()
        }

        result = simulate(replace(nervous, autoscalers=scaled), scenario=replace(SPIKE, jobs=300, seed=seed))

        # A job that ends twice raises DoneTwice.
        assert sum(job.handed_back for job in result.jobs) > 0
        assert None not in ends(result)

    def test_take_no_less_than_what_they_need_alone(self) -> None:
        assumed = Assumptions(jitter=0)

        result = simulate(deployed(), scenario=replace(SPIKE, jobs=5), assumed=assumed)

        took = {job.operation: round(job.finished_at - job.submitted_at, 1) for job in result.jobs if job.finished_at}
        # The first one has the card to itself; the others wait for their turn.
        assert took["upscale"] == assumed.seconds_alone["upscale"]
        assert all(took[operation] >= seconds for operation, seconds in assumed.seconds_alone.items())

    def test_that_end_twice_are_noticed(self) -> None:
        env = simpy.Environment()
        queue = Subscription(env, "upscale")
        job = queue.publish()
        queue.ack(job)

        with pytest.raises(DoneTwice):
            queue.ack(job)


class TestARun:
    def test_is_the_same_again_with_the_same_seed(self) -> None:
        first, second = simulate(deployed(), scenario=SPIKE), simulate(deployed(), scenario=SPIKE)

        assert first.looks == second.looks
        assert ends(first) == ends(second)

    def test_is_another_with_another_seed(self) -> None:
        assert ends(simulate(deployed(), scenario=SPIKE)) != ends(simulate(deployed(), scenario=replace(SPIKE, seed=2)))

    def test_stops_at_its_longest_and_says_that_jobs_are_left(self) -> None:
        result = simulate(deployed(), scenario=replace(SPIKE, longest=600))

        assert result.drained_at is None
        assert result.looks[-1].jobs_left > 0


class TestMore:
    def test_cards_from_the_beginning_are_faster(self) -> None:
        drained = [
            simulate(deployed(cards=(cards, cards)), scenario=replace(SPIKE, jobs=500)).drained_at
            for cards in (1, 2, 4)
        ]

        assert None not in drained
        assert drained[0] > 1.7 * (drained[1] - SPIKE.spike_at)
        assert drained == sorted(drained, reverse=True)

    def test_jobs_take_longer(self) -> None:
        drained = [simulate(deployed(), scenario=replace(SPIKE, jobs=jobs)).drained_at for jobs in (50, 100, 200, 400)]

        assert drained == sorted(drained)

    def test_seconds_a_picture_take_longer(self) -> None:
        slower = Assumptions(seconds_alone={name: 2 * each for name, each in Assumptions().seconds_alone.items()})

        assert simulate(deployed(), scenario=SPIKE, assumed=slower).waited(50) > simulate(
            deployed(), scenario=SPIKE
        ).waited(50)

    def test_of_a_batch_takes_less_for_each(self) -> None:
        assumed = Assumptions(batch_gain=2)

        assert assumed.seconds_on_card("upscale", 4) == pytest.approx(2 * assumed.seconds_on_card("upscale", 1))

    def test_cards_are_paid_for_while_they_start(self) -> None:
        result = simulate(deployed(), scenario=replace(SPIKE, jobs=300))
        hours = sum(look.cards_ready for look in result.looks if look.at >= SPIKE.spike_at) * 15 / 3600

        assert result.cards_paid_hours > hours
