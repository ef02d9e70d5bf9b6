from __future__ import annotations

import threading

import pytest

from triton_models.errors import Cancelled
from triton_models.progress import Watch


class Listener:
    def __init__(self) -> None:
        self.fractions: list[float] = []
        self.previews: list[bytes | None] = []
        self.cancelled = False
        self.now = 0.0

    def watch(self) -> Watch:
        return Watch(self.hear, lambda: self.cancelled, clock=lambda: self.now)

    def hear(self, fraction: float, preview: bytes | None) -> None:
        self.fractions.append(fraction)
        self.previews.append(preview)


class TestWatch:
    def test_never_falls_back(self) -> None:
        listener = Listener()
        watch = listener.watch()

        for fraction in (0.1, 0.5, 0.3, 2.0):
            watch.report(fraction)

        assert listener.fractions == [0.1, 0.5, 0.5, 1.0]

    def test_maps_a_part_onto_the_whole(self) -> None:
        listener = Listener()
        part = listener.watch().part(0.2, 0.6)

        for fraction in (0.0, 0.5, 1.0):
            part.report(fraction)

        assert listener.fractions == pytest.approx([0.2, 0.4, 0.6])

    def test_makes_a_preview_only_when_one_is_due(self) -> None:
        listener = Listener()
        watch = listener.watch()

        for now in (0.0, 1.0, 2.5):
            listener.now = now
            watch.report(now / 10, lambda: b"small jpeg")

        assert listener.previews == [b"small jpeg", None, b"small jpeg"]

    def test_raises_as_soon_as_nobody_wants_the_result(self) -> None:
        listener = Listener()
        part = listener.watch().part(0.0, 1.0)
        listener.cancelled = True

        with pytest.raises(Cancelled):
            part.report(0.5)

        assert listener.fractions == []

    def test_goes_on_while_work_is_done_that_says_nothing(self) -> None:
        listener, gate = Listener(), threading.Event()
        watch = Watch(
            lambda *heard: (listener.hear(*heard), len(listener.fractions) == 3 and gate.set()), lambda: False
        )

        made = watch.during(lambda: gate.wait(10) and "a file", expected_seconds=0.1)

        assert made == "a file"
        assert listener.fractions == sorted(listener.fractions)
        assert 0.8 < listener.fractions[0] <= listener.fractions[-1] <= 1

    def test_leaves_work_that_nobody_wants_to_itself(self) -> None:
        listener, gate = Listener(), threading.Event()
        listener.cancelled = True

        with pytest.raises(Cancelled):
            listener.watch().during(lambda: gate.wait(10), expected_seconds=1)

        assert not gate.is_set()
        gate.set()

    def test_lets_what_goes_wrong_through(self) -> None:
        with pytest.raises(ZeroDivisionError):
            Listener().watch().during(lambda: 1 / 0, expected_seconds=1)

    def test_goes_by_the_clock_for_work_that_cannot_tell_how_far_it_is(self) -> None:
        listener = Listener()
        clocked = listener.watch().by_the_clock(10)

        for listener.now in (1.0, 4.0, 60.0):
            clocked.report(0.0)

        assert listener.fractions[:2] == pytest.approx([0.1, 0.4])
        assert 0.99 < listener.fractions[2] <= 1
