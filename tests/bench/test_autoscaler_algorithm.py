"""The simulated autoscaler against what Kubernetes' documentation says of the real one."""

from __future__ import annotations

from bench.simulation.autoscaler import DEFAULT_UP, Autoscaler, Controller, Policy, Rules, Target

AT_ONCE = Rules(window=0, policies=(Policy("Percent", 100, 15),))
BACKLOG = Target("backlog", "AverageValue", 2)
LATENCY = Target("latency", "Value", 0.1)


def autoscaler(*targets: Target, up: Rules = DEFAULT_UP, down: Rules = AT_ONCE, maximum: int = 100) -> Autoscaler:
    return Autoscaler("worker", 1, maximum, targets or (BACKLOG,), up=up, down=down)


def steps(settings: Autoscaler, *, replicas: int, reading: float, every: float, times: int) -> list[int]:
    """Return what a controller makes of one reading of the backlog that stays."""
    controller = Controller(settings, replicas=replicas, now=-10_000)
    found = []
    for number in range(times):
        replicas = controller.decide(
            now=number * every, replicas=replicas, ready=replicas, readings={"backlog": reading, "latency": reading}
        )
        found.append(replicas)
    return found


def once(settings: Autoscaler, *, replicas: int, ready: int | None = None, **readings: float | None) -> int:
    controller = Controller(settings, replicas=replicas, now=-10_000)
    return controller.decide(now=0, replicas=replicas, ready=replicas if ready is None else ready, readings=readings)


class TestAProposal:
    def test_doubles_what_has_twice_its_value_and_halves_what_has_half(self) -> None:
        assert once(autoscaler(LATENCY), replicas=2, latency=0.2) == 4
        assert once(autoscaler(LATENCY), replicas=4, latency=0.05) == 2

    def test_is_none_within_a_tenth_of_the_value(self) -> None:
        assert once(autoscaler(LATENCY), replicas=4, latency=0.109) == 4
        assert once(autoscaler(LATENCY), replicas=4, latency=0.091) == 4
        assert once(autoscaler(LATENCY), replicas=4, latency=0.112) == 5

    def test_has_one_replica_for_each_average_value_rounded_up(self) -> None:
        assert once(autoscaler(), replicas=5, backlog=19) == 10
        assert once(autoscaler(), replicas=10, backlog=21) == 10  # 2.1 each: within the tolerance
        assert once(autoscaler(), replicas=9, backlog=21) == 11

    def test_multiplies_only_replicas_that_are_ready(self) -> None:
        assert once(autoscaler(LATENCY), replicas=2, ready=1, latency=0.2) == 2

    def test_is_the_largest_of_all_metrics(self) -> None:
        assert once(autoscaler(BACKLOG, LATENCY), replicas=4, backlog=2, latency=0.15) == 6
        assert once(autoscaler(BACKLOG, LATENCY), replicas=4, backlog=14, latency=0.01) == 7

    def test_stays_between_the_limits(self) -> None:
        assert once(autoscaler(maximum=3), replicas=2, backlog=100) == 3
        assert once(autoscaler(), replicas=2, backlog=0) == 1


class TestAMetricThatCannotBeRead:
    def test_stops_nothing(self) -> None:
        assert once(autoscaler(), replicas=7, backlog=None) == 7
        assert once(autoscaler(BACKLOG, LATENCY), replicas=7, backlog=0, latency=None) == 7

    def test_does_not_keep_the_other_from_growing(self) -> None:
        assert once(autoscaler(BACKLOG, LATENCY), replicas=7, backlog=20, latency=None) == 10


class TestNoReplicas:
    def test_become_one_as_soon_as_there_is_anything(self) -> None:
        none = Autoscaler("worker", 0, 20, (BACKLOG,))

        assert once(none, replicas=0, backlog=0) == 0
        assert once(none, replicas=0, backlog=1) == 1


class TestThePolicies:
    def test_of_kubernetes_documentation_go_down_by_a_tenth_and_then_by_four(self) -> None:
        # 80 pods that should be 10, with "4 pods" and "10 percent" a minute: 8, then 7.2 rounded up to 8, ..., then 4.
        down = Rules(window=0, policies=(Policy("Pods", 4, 60), Policy("Percent", 10, 60)))

        found = steps(autoscaler(down=down), replicas=80, reading=20, every=60, times=13)

        assert found[:3] == [72, 64, 57]
        assert found[-6:] == [32, 28, 24, 20, 16, 12]

    def test_with_min_take_the_slower_of_the_two(self) -> None:
        down = Rules(window=0, policies=(Policy("Pods", 4, 60), Policy("Percent", 10, 60)), select="Min")

        assert steps(autoscaler(down=down), replicas=80, reading=20, every=60, times=2) == [76, 72]

    def test_when_disabled_change_nothing(self) -> None:
        down = Rules(window=0, policies=(Policy("Percent", 100, 15),), select="Disabled")

        assert steps(autoscaler(down=down), replicas=80, reading=0, every=60, times=3) == [80, 80, 80]

    def test_double_or_add_four_every_fifteen_seconds_where_nothing_is_said(self) -> None:
        assert steps(autoscaler(), replicas=1, reading=80, every=15, times=4) == [5, 10, 20, 40]

    def test_count_what_was_changed_within_their_period(self) -> None:
        up = Rules(window=0, policies=(Policy("Pods", 1, 900),))

        found = steps(autoscaler(up=up, maximum=3), replicas=1, reading=100, every=300, times=8)

        assert found == [2, 2, 2, 3, 3, 3, 3, 3]


class TestTheStabilizationWindow:
    def test_goes_down_to_the_highest_recommendation_within_it(self) -> None:
        down = Rules(window=300, policies=(Policy("Percent", 100, 15),))
        controller = Controller(autoscaler(down=down), replicas=10, now=-10_000)
        replicas, found = 10, []

        for number, backlog in enumerate([20, 8, 12, 4, 4, 4, 4, 4, 4]):
            replicas = controller.decide(
                now=number * 60, replicas=replicas, ready=replicas, readings={"backlog": backlog}
            )
            found.append(replicas)

        # Ten was recommended at 0:00 and is forgotten at 5:00, six at 2:00 and at 7:00.
        assert found == [10, 10, 10, 10, 10, 6, 6, 2, 2]

    def test_goes_up_to_the_lowest_recommendation_within_it(self) -> None:
        up = Rules(window=60, policies=(Policy("Percent", 1000, 15),))
        controller = Controller(autoscaler(up=up), replicas=1, now=-10_000)
        replicas, found = 1, []

        for number, backlog in enumerate([2, 20, 20, 2, 20, 20, 20, 20, 20]):
            replicas = controller.decide(
                now=number * 15, replicas=replicas, ready=replicas, readings={"backlog": backlog}
            )
            found.append(replicas)

        # One quiet look within the minute is enough to wait on.
        assert found == [1, 1, 1, 1, 1, 1, 1, 10, 10]

    def test_begins_with_what_a_new_controller_finds(self) -> None:
        down = Rules(window=300, policies=(Policy("Percent", 100, 15),))
        controller = Controller(autoscaler(down=down), replicas=10, now=0)

        assert controller.decide(now=15, replicas=10, ready=10, readings={"backlog": 0}) == 10
