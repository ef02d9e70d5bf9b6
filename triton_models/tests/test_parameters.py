from __future__ import annotations

import pytest

from triton_models.errors import InvalidParameter
from triton_models.parameters import resolve

ACCEPTED = {"scale": 4, "prompt": "", "strength": 0.3, "bg_color": None, "crop": False, "channels": "rgba"}


class TestResolve:
    def test_fills_in_the_defaults_of_the_operation(self) -> None:
        parameters, unknown = resolve({}, ACCEPTED)

        assert (parameters.scale, parameters.strength, parameters.engine, parameters.format) == (4, 0.3, "auto", "auto")
        assert unknown == []

    @pytest.mark.parametrize(
        ("name", "spelled", "value"),
        [
            ("scale", "2", 2),
            ("strength", "0", 0.0),
            ("strength", 1, 1.0),
            ("seed", "7", 7),
            ("quality", "100", 100),
            ("crop", "true", True),
            ("crop", 0, False),
            ("bg_color", "white", (255, 255, 255)),
            ("bg_color", "#10203040", (16, 32, 48)),
            ("bg_color", "fff", (255, 255, 255)),
        ],
    )
    def test_reads_a_value_however_it_is_spelled(self, name: str, spelled: object, value: object) -> None:
        parameters, _ = resolve({name: spelled}, ACCEPTED)

        assert getattr(parameters, name) == value

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("scale", 3, "scale must be one of 2, 4, not 3."),
            ("scale", 2.5, "scale must be one of 2, 4, not 2.5."),
            ("strength", 1.5, "strength must be a number from 0 to 1, not 1.5."),
            ("strength", float("nan"), "strength must be a number from 0 to 1, not nan."),
            ("strength", True, "strength must be a number from 0 to 1, not True."),
            ("strength", [1], "strength must be a number from 0 to 1, not [1]."),
            ("seed", -1, "seed must be a whole number from 0 to 9223372036854775807, not -1."),
            ("quality", 0, "quality must be a whole number from 1 to 100, not 0."),
            ("format", "gif", "format must be one of auto, png, jpeg, webp, not 'gif'."),
            ("crop", "perhaps", "crop must be true or false, not 'perhaps'."),
            ("bg_color", "greenish", "bg_color must be a colour such as #ffffff or white, not 'greenish'."),
        ],
    )
    def test_says_what_is_wrong_with_a_value(self, name: str, value: object, sentence: str) -> None:
        with pytest.raises(InvalidParameter) as refusal:
            resolve({name: value}, ACCEPTED)

        assert refusal.value.message == sentence

    def test_does_not_repeat_a_long_value(self) -> None:
        with pytest.raises(InvalidParameter) as refusal:
            resolve({"prompt": "x" * 5000}, ACCEPTED)

        assert len(refusal.value.message) < 150

    def test_names_what_the_operation_does_not_have_and_goes_on(self) -> None:
        _, unknown = resolve({"halo": 3, "scale": 2}, ACCEPTED)

        assert unknown == ["halo"]


class TestDescribed:
    def test_shows_what_applies_in_json_values(self) -> None:
        parameters, _ = resolve({"bg_color": "teal"}, {"bg_color": None})

        described = parameters.described({"bg_color": None})

        assert described["bg_color"] == "#008080"
        assert "scale" not in described
