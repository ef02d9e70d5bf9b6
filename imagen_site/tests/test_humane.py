from __future__ import annotations

from typing import Any

import pytest

from imagen_site.templatetags.humane import seconds, thousands, told


class TestALengthOfTime:
    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (0, "0.00 s"),
            (0.254, "0.25 s"),
            (9.994, "9.99 s"),
            (10, "10 s"),
            (59.4, "59 s"),
            (59.6, "1 min 0 s"),
            (200, "3 min 20 s"),
            (3599.9, "1 h 0 min"),
            (18_120, "5 h 2 min"),
        ],
    )
    def test_is_said_in_units_that_fit_it(self, value: float, words: str) -> None:
        assert seconds(value) == words


class TestANumber:
    def test_is_written_in_thousands(self) -> None:
        assert thousands(1234567) == "1,234,567"


class TestWhatAProgramTold:
    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({"seed": 0, "colour_shift": 0.41234567, "tiles": 12}, "seed 0, colour shift 0.4123, tiles 12"),
            ({"reproducible": True, "crop": False, "steps": None, "prompt": "", "more": {}}, "reproducible"),
            ({"shift": [0.10000001, 2, "red"]}, "shift 0.1 2 red"),
            ({"alpha": {"full": 0.5, "empty": False}}, "alpha full 0.5"),
            ({}, ""),
            ("as it is", "as it is"),
            (1e-7, "1e-07"),
        ],
    )
    def test_is_said_in_words(self, value: Any, words: str) -> None:
        assert told(value) == words
