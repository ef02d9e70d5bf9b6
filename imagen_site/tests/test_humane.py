from __future__ import annotations

import pytest

from imagen_site.templatetags.humane import seconds, thousands


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
