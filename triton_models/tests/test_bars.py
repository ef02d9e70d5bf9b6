from __future__ import annotations

import io

import pytest

from triton_models.weights import bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestMegabytes:
    @pytest.mark.parametrize(
        ("number", "words"),
        [(1, "1 kB"), (13_000, "13 kB"), (67_040_989, "67 MB"), (1_731_904_736, "1.7 GB"), (0, "0 kB")],
    )
    def test_are_for_people(self, number: int, words: str) -> None:
        assert bars.megabytes(number) == words


class TestALog:
    def test_gets_a_line_for_every_tenth_of_a_large_file(self) -> None:
        log = io.StringIO()

        with bars.shown(log) as meter:
            meter.total(200_000_013)
            meter.file("config.json", 13)(13)
            tell = meter.file("unet/net.safetensors", 200_000_000)
            for there in range(0, 200_000_001, 5_000_000):
                tell(there)

        lines = log.getvalue().splitlines()
        assert lines[:2] == ["200 MB to fetch", "unet/net.safetensors: 10 % of 200 MB"]
        assert lines[-1] == "unet/net.safetensors: 100 % of 200 MB"
        assert len(lines) == 11

    def test_says_how_far_a_resumed_file_was(self) -> None:
        log = io.StringIO()

        with bars.shown(log) as meter:
            meter.file("unet/net.safetensors", 200_000_000)(140_000_000)

        assert log.getvalue() == "unet/net.safetensors: 70 % of 200 MB\n"


class TestATerminal:
    def test_gets_a_bar_for_the_file_and_one_for_everything(self) -> None:
        terminal = Terminal()

        with bars.shown(terminal) as meter:
            meter.total(3_000_000)
            meter.file("config.json", 1_000_000)(1_000_000)
            meter.file("unet/net.safetensors", 2_000_000)(2_000_000)

        drawn = terminal.getvalue()
        assert "unet/net.safetensors:" in drawn
        assert "all: 100%" in drawn
        assert "3.00M/3.00M" in drawn

    def test_gets_no_bars_where_there_is_nothing_to_fetch(self) -> None:
        terminal = Terminal()

        with bars.shown(terminal):
            pass

        assert terminal.getvalue() == ""
