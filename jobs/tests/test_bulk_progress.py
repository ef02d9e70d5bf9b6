from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from jobs.bulk.pace import read_rate
from jobs.bulk.progress import SENTENCES_EACH, Progress

if TYPE_CHECKING:
    from collections.abc import Callable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def lines(seconds: Callable[[], float], total: int | None = 100) -> tuple[Progress, io.StringIO]:
    stream = io.StringIO()
    return Progress(stream, total=total, line=lambda: "made 3, failed 1", clock=seconds), stream


class TestWithoutATerminal:
    def test_says_every_few_seconds_how_far_it_is_and_what_is_left(self, seconds: Seconds) -> None:
        progress, stream = lines(seconds)

        for _ in range(26):
            seconds.now += 0.4
            progress.step()

        assert stream.getvalue().splitlines() == [
            "13 of 100: made 3, failed 1, about 00:34 left",
            "26 of 100: made 3, failed 1, about 00:29 left",
        ]

    def test_says_once_a_minute_what_it_waits_for(self, seconds: Seconds) -> None:
        progress, stream = lines(seconds, total=None)

        for _ in range(250):
            seconds.now += 0.5
            progress.note("waiting")

        assert stream.getvalue().splitlines() == ["0: made 3, failed 1, waiting"] * 2

    def test_does_not_drown_everything_in_sentences_of_one_kind(self, seconds: Seconds) -> None:
        progress, stream = lines(seconds)

        for number in range(500):
            progress.tell("not_an_image", f"{number}.txt: skipped.")
        progress.tell("internal", "x.png: broke.")

        told = stream.getvalue().splitlines()
        assert len(told) == SENTENCES_EACH + 2
        assert told[-2:] == ["Further ones with the code not_an_image are only counted.", "x.png: broke."]


class TestOnATerminal:
    def test_draws_a_bar_with_the_counts_and_writes_sentences_above_it(self) -> None:
        stream = Terminal()
        progress = Progress(stream, total=2, line=lambda: "made 2")

        progress.step()
        progress.say("notes.txt: skipped.")
        progress.step()
        progress.note("1 under way")
        progress.close()

        drawn = stream.getvalue()
        assert "notes.txt: skipped.\n" in drawn
        assert "100%" in drawn
        assert "2/2" in drawn
        assert "made 2, 1 under way" in drawn


class TestARate:
    @pytest.mark.parametrize(
        ("text", "between"), [("2/s", 0.5), ("30/m", 2), ("30 / minute", 2), ("100/h", 36), ("0.5/s", 2)]
    )
    def test_is_so_many_in_a_time(self, text: str, between: float) -> None:
        assert read_rate(text) == between
