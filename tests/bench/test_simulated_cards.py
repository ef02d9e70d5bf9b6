"""One Triton or several: who answers what, and what the two numbers say of it."""

from __future__ import annotations

from random import Random

import pytest
import simpy

from bench.simulation.assumptions import Assumptions
from bench.simulation.cards import Call, Triton

ASSUMED = Assumptions(jitter=0)
UPSCALE = ASSUMED.seconds_on_card("upscale", 1)


@pytest.fixture
def env() -> simpy.Environment:
    return simpy.Environment()


@pytest.fixture
def triton(env: simpy.Environment) -> Triton:
    triton = Triton(env, ASSUMED, Random(1), threads_of_a_model=4)  # noqa: S311 - no secret
    env.process(triton.measuring())
    triton.scale(1, at_once=True)
    env.run(until=1)
    return triton


def ask(triton: Triton, *operations: str) -> list[Call]:
    return [triton.infer(operation) for operation in operations]


def answered(calls: list[Call]) -> int:
    return sum(call.done.triggered for call in calls)


class TestACard:
    def test_runs_up_to_four_of_one_model_together(self, env: simpy.Environment, triton: Triton) -> None:
        calls = ask(triton, *["upscale"] * 5)

        env.run(until=1 + ASSUMED.seconds_on_card("upscale", 1) + ASSUMED.seconds_on_card("upscale", 4) + 0.1)

        # The first found the card idle and went alone.
        assert answered(calls) == 5

    def test_runs_two_models_one_after_the_other(self, env: simpy.Environment, triton: Triton) -> None:
        calls = ask(triton, "upscale", "background_remove")

        env.run(until=1 + UPSCALE + 0.1)

        assert [call.done.triggered for call in calls] == [True, False]

    def test_leaves_out_what_nobody_waits_for(self, env: simpy.Environment, triton: Triton) -> None:
        first, given_up, third = ask(triton, "upscale", "upscale", "upscale")
        given_up.cancelled = True

        env.run(until=1 + UPSCALE + ASSUMED.seconds_on_card("upscale", 1) + 0.1)

        assert [call.done.triggered for call in (first, given_up, third)] == [True, False, True]


class TestPendingRequests:
    def test_are_those_that_no_model_has_taken(self, env: simpy.Environment, triton: Triton) -> None:
        # Four threads and a batch of four that waits for them.
        ask(triton, *["upscale"] * 10)

        env.run(until=2)

        assert sum(card.pending for card in triton.cards) == 2

    def test_are_seen_half_a_minute_later(self, env: simpy.Environment, triton: Triton) -> None:
        ask(triton, *["enhance"] * 10)

        env.run(until=30)
        assert triton.pending_requests.read(env.now) in {None, 0}
        env.run(until=50)
        assert triton.pending_requests.read(env.now) == 2


class TestQueueSeconds:
    def test_of_a_request_alone_are_what_triton_waits_for_company(self, env: simpy.Environment, triton: Triton) -> None:
        ask(triton, "upscale")

        env.run(until=UPSCALE + 2)

        assert triton.waits.read(env.now) == pytest.approx(0.108)

    def test_say_nothing_of_the_time_in_a_models_threads(self, env: simpy.Environment, triton: Triton) -> None:
        ask(triton, *["upscale"] * 8)

        env.run(until=60)

        assert triton.waits.read(env.now) == pytest.approx(0.108)


class TestASecondCard:
    def test_gets_every_other_request_from_then_on_and_none_of_those_before(
        self, env: simpy.Environment, triton: Triton
    ) -> None:
        ask(triton, *["enhance"] * 12)
        triton.scale(2, at_once=True)
        env.run(until=2)
        old, new = triton.cards

        before = len(new.models["enhance"].taken) + new.models["enhance"].running
        ask(triton, *["enhance"] * 6)

        assert before == 0
        assert len(new.models["enhance"].taken) == 3
        assert old.pending + len(old.models["enhance"].taken) + old.models["enhance"].running == 12 + 3

    def test_that_is_stopped_ends_its_pass_and_leaves_the_rest_to_the_other(
        self, env: simpy.Environment, triton: Triton
    ) -> None:
        triton.scale(2, at_once=True)
        env.run(until=2)
        calls = ask(triton, *["upscale", "enhance"] * 6)
        env.run(until=3)

        triton.scale(1)
        env.run(until=600)

        assert triton.ready == 1
        assert answered(calls) == len(calls)

    def test_is_not_started_when_it_is_no_longer_wanted(self, env: simpy.Environment, triton: Triton) -> None:
        triton.scale(2)
        triton.scale(1)

        env.run(until=1000)

        assert (triton.replicas, triton.ready) == (1, 1)
