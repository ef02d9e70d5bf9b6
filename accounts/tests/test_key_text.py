import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import key_text
from accounts.key_text import ALPHABET


class TestAKeysText:
    @pytest.mark.parametrize("mode", ["live", "test"])
    def test_has_the_promised_form(self, mode: str) -> None:
        text = str(key_text.make(mode))

        assert re.fullmatch(rf"img_{mode}_[0-9A-Za-z]{{10}}_[0-9A-Za-z]{{38}}", text)

    def test_is_another_one_each_time(self) -> None:
        assert len({str(key_text.make("live")) for _ in range(100)}) == 100

    def test_has_at_least_160_random_bits(self) -> None:
        assert len(ALPHABET) ** key_text.RANDOM_LENGTH >= 2**160

    def test_is_read_back(self) -> None:
        made = key_text.make("test")

        read = key_text.parse(str(made))

        assert read == made
        assert (read.mode, read.prefix) == ("test", made.prefix)

    def test_is_hidden_when_its_parts_are_logged(self) -> None:
        made = key_text.make("live")

        assert made.secret not in repr(made)

    @given(place=st.integers(min_value=0, max_value=57), letter=st.sampled_from(ALPHABET))
    def test_with_one_wrong_letter_is_no_key(self, place: int, letter: str) -> None:
        text = str(key_text.make("live"))
        typo = text[:place] + letter + text[place + 1 :]

        assert (key_text.parse(typo) is None) == (typo != text)

    @pytest.mark.parametrize(
        "text", ["", "img_live", "img_live_a_b", "sk_live_0123456789_" + "0" * 38, "img_live_0123456789_" + "é" * 38]
    )
    def test_of_another_form_is_no_key(self, text: str) -> None:
        assert key_text.parse(text) is None

    @given(text=st.text())
    def test_may_be_any_text_without_an_accident(self, text: str) -> None:
        assert key_text.parse(text) is None
