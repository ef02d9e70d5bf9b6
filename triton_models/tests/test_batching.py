from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from triton_models.batching import Batcher, Unit
from triton_models.errors import Cancelled, OutOfMemory
from triton_models.progress import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IntUnit = Unit[int, int]


class Network:
    """Doubles numbers; remembers its passes, and can be held back so that work piles up."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.room = 1000
        self.began = threading.Event()

    def __call__(self, units: Sequence[IntUnit]) -> list[int]:
        self.began.set()
        assert self.gate.wait(10)
        if len(units) > self.room:
            raise OutOfMemory("Too many.")
        self.passes.append([unit.work for unit in units])
        if any(unit.work < 0 for unit in units):
            raise ValueError("A negative number.")
        return [2 * unit.work for unit in units]


@pytest.fixture
def network() -> Network:
    return Network()


def watch(is_cancelled: Callable[[], bool] = lambda: False) -> Watch:
    return Watch(lambda _fraction, _preview: None, is_cancelled)


def numbers(batcher: Batcher[int, int], works: Sequence[int], key: str = "a") -> list[int]:
    return [unit.made.result() for unit in batcher.run([(key, work) for work in works], watch())]


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


class TestABatcher:
    def test_returns_what_was_made_of_each_unit_in_order(self, network: Network) -> None:
        batcher = Batcher(network, largest=4, name="test")

        assert numbers(batcher, range(10)) == [2 * number for number in range(10)]
        assert max(map(len, network.passes)) <= 4

    def test_takes_units_of_two_requests_into_one_pass_and_in_turn(self, network: Network) -> None:
        batcher = Batcher(network, largest=4, name="test")
        network.gate.clear()
        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(numbers, batcher, [0])
            assert network.began.wait(10)
            large = pool.submit(numbers, batcher, [1, 2, 3, 4, 5, 6])
            wait_until(lambda: batcher._reach() == 6)
            small = pool.submit(numbers, batcher, [100])
            wait_until(lambda: batcher._reach() == 7)
            network.gate.set()

            assert (first.result(), large.result(), small.result()) == ([0], [2, 4, 6, 8, 10, 12], [200])

        assert network.passes[1] == [1, 100, 2, 3]

    def test_never_mixes_keys(self, network: Network) -> None:
        batcher = Batcher(network, largest=4, name="test")
        works = [("even" if number % 2 == 0 else "odd", number) for number in range(12)]

        made = [unit.made.result() for unit in batcher.run(works, watch())]

        assert made == [2 * number for number in range(12)]
        assert all(len({number % 2 for number in together}) == 1 for together in network.passes)

    def test_says_how_many_requests_shared_a_pass(self, network: Network) -> None:
        batcher = Batcher(network, largest=4, name="test", patience=10)
        pool = ThreadPoolExecutor(2)
        with batcher.announced():
            units = [pool.submit(batcher.run_one, "a", number, watch()) for number in (1, 2)]
            wait_until(lambda: batcher._reach() == 2)

        assert [unit.result().shared_by for unit in units] == [2, 2]

        assert batcher.run_one("a", 3, watch()).shared_by == 1

    def test_does_not_let_a_request_that_is_alone_wait(self, network: Network) -> None:
        batcher = Batcher(network, largest=4, name="test", patience=60)

        with batcher.announced():
            assert batcher.run_one("a", 1, watch()).made.result() == 2

    def test_runs_the_units_of_a_failed_pass_alone_so_that_only_the_guilty_one_fails(self, network: Network) -> None:
        batcher = Batcher(network, largest=4, name="test", patience=10)
        pool = ThreadPoolExecutor(2)
        with batcher.announced():
            good = pool.submit(numbers, batcher, [1, 2])
            bad = pool.submit(numbers, batcher, [-1])
            wait_until(lambda: batcher._reach() == 3)

        assert good.result() == [2, 4]
        with pytest.raises(ValueError, match="negative"):
            bad.result()
        assert network.passes[0] == [1, -1, 2]

    def test_halves_its_batches_for_good_when_memory_does_not_suffice(self, network: Network) -> None:
        network.room = 2
        batcher = Batcher(network, largest=8, name="test")

        assert numbers(batcher, range(16)) == [2 * number for number in range(16)]
        assert batcher.largest == 2

    def test_hands_out_of_memory_to_the_request_when_even_one_unit_is_too_much(self, network: Network) -> None:
        network.room = 0
        batcher = Batcher(network, largest=2, name="test")

        with pytest.raises(OutOfMemory):
            numbers(batcher, [1, 2])

    def test_leaves_a_request_within_a_tick_of_the_wish_to_cancel_and_never_runs_the_rest(
        self, network: Network
    ) -> None:
        batcher = Batcher(network, largest=2, name="test")
        cancelled = threading.Event()
        network.gate.clear()
        with ThreadPoolExecutor(2) as pool:
            leaving = pool.submit(list, batcher.run([("a", n) for n in range(100)], watch(cancelled.is_set)))
            assert network.began.wait(10)
            staying = pool.submit(numbers, batcher, [7, 8, 9])
            cancelled.set()
            with pytest.raises(Cancelled):
                leaving.result(timeout=5)
            network.gate.set()

            assert staying.result() == [14, 16, 18]

        assert sum(map(len, network.passes)) < 8

    def test_takes_no_more_units_from_a_request_than_can_be_under_way(self, network: Network) -> None:
        batcher = Batcher(network, largest=2, name="test")
        taken: list[int] = []

        def works() -> object:
            for number in range(50):
                taken.append(number)
                yield "a", number

        for done, _ in enumerate(batcher.run(works(), watch(), ahead=3), start=1):
            assert len(taken) <= done + 3

    def test_shows_the_unit_that_is_waited_for_and_how_far_it_is(self) -> None:
        shown, may_end = [], threading.Event()

        def slow(units: Sequence[IntUnit]) -> list[int]:
            units[0].tell(0.5)
            assert may_end.wait(10)
            return [unit.work for unit in units]

        def look(unit: IntUnit) -> None:
            shown.append((unit.number, unit.fraction))
            may_end.set()

        batcher = Batcher(slow, largest=1, name="test")

        assert len(list(batcher.run([("a", 1)], watch(), on_wait=look))) == 1
        assert shown[0] == (0, 0.5)

    def test_passes_on_what_a_unit_tells_while_it_runs(self) -> None:
        told: list[tuple[float, bytes | None]] = []
        may_end = threading.Event()

        def slow(units: Sequence[IntUnit]) -> list[int]:
            units[0].tell(0.5, lambda: b"picture")
            assert may_end.wait(10)
            return [0]

        def listen(fraction: float, preview: bytes | None) -> None:
            told.append((fraction, preview))
            if fraction == 0.5:
                may_end.set()

        Batcher(slow, largest=1, name="test").run_one("a", 1, Watch(listen, lambda: False))

        assert (0.5, b"picture") in told

    def test_tells_running_work_when_nobody_waits_for_it(self) -> None:
        began, seen = threading.Event(), threading.Event()

        def until_withdrawn(units: Sequence[IntUnit]) -> list[int]:
            began.set()
            wait_until(lambda: units[0].is_withdrawn)
            seen.set()
            raise Cancelled("Nobody waits.")

        batcher = Batcher(until_withdrawn, largest=1, name="test")
        with pytest.raises(Cancelled):
            batcher.run_one("a", 1, watch(began.is_set))

        assert seen.wait(5)

    def test_tells_running_work_of_many_units_as_well(self) -> None:
        began, seen = threading.Event(), threading.Event()

        def until_withdrawn(units: Sequence[IntUnit]) -> list[int]:
            began.set()
            wait_until(lambda: all(unit.is_withdrawn for unit in units))
            seen.set()
            raise Cancelled("Nobody waits.")

        batcher = Batcher(until_withdrawn, largest=1, name="test")
        with pytest.raises(Cancelled):
            list(batcher.run([("a", number) for number in range(3)], watch(began.is_set)))

        assert seen.wait(5)

    def test_says_whether_its_pass_ended_in_time_when_it_is_closed(self, network: Network) -> None:
        batcher = Batcher(network, largest=1, name="test")
        assert batcher.close(0)
        batcher = Batcher(network, largest=1, name="test")
        network.gate.clear()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(numbers, batcher, [1])
            assert network.began.wait(10)

            assert not batcher.close(0.01)

            network.gate.set()
            assert batcher.close(10)
            assert running.result() == [2]

    def test_goes_on_when_its_only_request_left_while_another_was_awaited(self, network: Network) -> None:
        batcher = Batcher(network, largest=4, name="test", patience=10)
        cancelled, pool = threading.Event(), ThreadPoolExecutor(1)
        with batcher.announced():
            leaving = pool.submit(batcher.run_one, "a", 1, watch(cancelled.is_set))
            wait_until(lambda: batcher._reach() == 1)
            cancelled.set()
            with pytest.raises(Cancelled):
                leaving.result(timeout=5)
        time.sleep(0.1)

        later = pool.submit(numbers, batcher, [3])
        try:
            assert later.result(timeout=5) == [6]
        finally:
            batcher.close()

    def test_fails_the_units_of_a_network_that_forgets_one_and_goes_on(self) -> None:
        batcher: Batcher[int, int] = Batcher(lambda units: [7] * (units[0].work - 1), largest=1, name="test")

        with pytest.raises(ValueError, match="shorter"):
            numbers(batcher, [1])
        assert numbers(batcher, [2]) == [7]

    def test_cancels_what_waits_when_it_is_closed(self, network: Network) -> None:
        batcher = Batcher(network, largest=1, name="test")
        network.gate.clear()
        with ThreadPoolExecutor(2) as pool:
            running = pool.submit(numbers, batcher, [1])
            assert network.began.wait(10)
            waiting = pool.submit(numbers, batcher, [2])
            wait_until(lambda: batcher._reach() == 1)
            closing = threading.Thread(target=batcher.close)
            closing.start()
            with pytest.raises(Cancelled, match="stopping"):
                waiting.result(timeout=5)
            network.gate.set()
            closing.join()

            assert running.result() == [2]

        with pytest.raises(Cancelled, match="stopping"):
            numbers(batcher, [3])
