from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.prices import PRICES
from jobs.errors import InvalidParameters
from jobs.operations import BACKGROUND_REMOVE, OPERATIONS, UPSCALE, Operation

EVERY = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: each.name)

# In a fresh checkout the first letter drawn costs seconds, for the library's table of all letters; no fault of a test.
ANY_LETTER = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Paths are public and topics and models are deployed by these names: path, topic, model.
NAMES = {
    "upscale": ("upscale", "upscale-jobs", "upscale"),
    "enhance": ("enhance", "enhance-jobs", "enhance"),
    "style_comic": ("style/comic", "style-comic-jobs", "style_comic"),
    "style_aged": ("style/aged", "style-aged-jobs", "style_aged"),
    "background_remove": ("background/remove", "background-remove-jobs", "background_remove"),
}


def sentence(operation: Operation, **values: Any) -> str:
    with pytest.raises(InvalidParameters) as refusal:
        operation.clean(values)
    ((_, sentences),) = refusal.value.errors.items()
    return " ".join(sentences)


class TestTheNames:
    @EVERY
    def test_are_those_of_the_design(self, operation: Operation) -> None:
        assert (operation.path, operation.topic, operation.model) == NAMES[operation.name]

    @EVERY
    def test_have_a_price(self, operation: Operation) -> None:
        assert PRICES.price(operation.name, input_pixels=1, output_pixels=1) >= 1


class TestDefaults:
    def test_are_filled_in(self) -> None:
        cleaned = UPSCALE.clean({})

        assert (cleaned["scale"], cleaned["format"], cleaned["metadata"]) == (4, "auto", "strip")
        assert cleaned["engine"] == "auto"
        assert cleaned["seed"] is None

    @EVERY
    def test_stand_for_an_empty_field(self, operation: Operation) -> None:
        empty = {parameter.name: " " for parameter in operation.parameters}

        assert operation.clean(empty) == operation.clean({})

    @EVERY
    def test_are_values_that_would_be_accepted(self, operation: Operation) -> None:
        defaults = operation.clean({})

        assert operation.clean(defaults) == defaults


class TestAValue:
    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("scale", "2", 2),
            ("scale", 4, 4),
            ("guidance_scale", "7.5", 7.5),
            ("guidance_scale", 7, 7.0),
            ("steps", " 30 ", 30),
            ("seed", "4294967295", 4294967295),
            ("reproducible", "on", True),
            ("reproducible", False, False),
            ("prompt", "a boat", "a boat"),
            ("engine", "realesr-animevideov3", "realesr-animevideov3"),
        ],
    )
    def test_is_read_from_text_and_from_json(self, name: str, text: Any, value: Any) -> None:
        assert UPSCALE.clean({name: text})[name] == value

    @pytest.mark.parametrize(("text", "color"), [("#fff", "#ffffff"), ("A0b1C2", "#a0b1c2"), ("#123456", "#123456")])
    def test_that_is_a_colour_is_written_out(self, text: str, color: str) -> None:
        assert BACKGROUND_REMOVE.clean({"bg_color": text})["bg_color"] == color

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("scale", 3, "3 is not one of 2, 4."),
            ("scale", True, "True is not one of 2, 4."),
            ("scale", "4.0", "'4.0' is not one of 2, 4."),
            ("steps", "3.7", "not a whole number"),
            ("steps", "1_0", "not a whole number"),
            ("steps", True, "not a whole number"),
            ("steps", 0, "0 is outside 1 to 100."),
            ("seed", 2**32, "outside 0 to 4,294,967,295."),
            ("seed", "9" * 50, "not a whole number"),
            ("guidance_scale", "nan", "not a number"),
            ("guidance_scale", float("nan"), "outside 0 to 20"),
            ("guidance_scale", float("inf"), "outside 0 to 20"),
            ("guidance_scale", [1], "not a number"),
            ("quality", 101, "outside 1 to 100"),
            ("prompt", "x" * 1001, "1,001 characters; at most 1,000"),
            ("prompt", "a\x00b", "NUL"),
            ("prompt", "half a \ud83d pair", "no text can have"),
            ("prompt", ["a"], "not text"),
            ("scale", 10**400, "is not one of 2, 4."),
            ("steps", -(10**400), "is outside 1 to 100."),
            ("guidance_scale", 10**400, "is outside 0 to 20."),
            ("guidance_scale", "inf", "not a number"),
            ("guidance_scale", "1e1", "not a number"),
            ("guidance_scale", -0.1, "outside 0 to 20"),
            ("reproducible", 1, "not true or false"),
            ("format", "PNG", "'PNG' is not one of auto, png, jpeg, webp."),
            ("metadata", {"keep": True}, "is not one of strip, copyright, keep."),
            ("engine", "esrgan", "'esrgan' is not one of auto, light, sd-x4-upscaler, realesrgan-x4plus, realesr-"),
            ("engine", "xdog", "'xdog' is not one of auto, light, sd-x4-upscaler"),
            ("engine", "Light", "'Light' is not one of auto, light"),
            ("seed", -1, "outside 0 to"),
            ("seed", 1.0, "not a whole number"),
            ("prompt", 5, "not text"),
            ("engine", ["light"], "['light'] is not one of auto, light"),
            ("reproducible", "maybe", "not true or false"),
            ("strength", 0.5, "no such parameter"),
        ],
    )
    def test_that_is_wrong_is_refused_in_a_sentence(self, name: str, value: Any, says: str) -> None:
        assert says in sentence(UPSCALE, **{name: value})

    @pytest.mark.parametrize("color", ["red", "#ff", "#gggggg", "#ffffff;", 0xFFFFFF, "#ffff"])
    def test_that_is_no_colour_is_refused_with_an_example(self, color: object) -> None:
        assert "not a colour such as #ffffff" in sentence(BACKGROUND_REMOVE, bg_color=color)

    @pytest.mark.parametrize("name", ["scale", "steps", "guidance_scale", "prompt", "reproducible", "engine"])
    def test_that_is_too_long_to_show_is_shown_shortened(self, name: str) -> None:
        assert len(sentence(UPSCALE, **{name: ["x" * 10_000]})) < 160

    def test_of_the_longest_is_taken(self) -> None:
        assert UPSCALE.clean({"prompt": "é" * 1000})["prompt"] == "é" * 1000

    @pytest.mark.parametrize(("text", "value"), [("true", True), (" Yes ", True), ("0", False), ("off", False)])
    def test_that_is_true_or_false_is_read_from_text(self, text: str, value: bool) -> None:  # noqa: FBT001
        assert BACKGROUND_REMOVE.clean({"crop": text})["crop"] is value

    def test_that_is_wrong_does_not_hide_the_next(self) -> None:
        with pytest.raises(InvalidParameters) as refusal:
            UPSCALE.clean({"scale": 3, "quality": 0, "colour": "red"})

        assert set(refusal.value.errors) == {"scale", "quality", "colour"}

    @ANY_LETTER
    @given(
        st.dictionaries(
            st.sampled_from([p.name for p in UPSCALE.parameters]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                st.lists,
                max_leaves=3,
            ),
        )
    )
    def test_whatever_it_is_is_cleaned_or_refused(self, values: dict[str, Any]) -> None:
        try:
            cleaned = UPSCALE.clean(values)
        except InvalidParameters:
            return
        assert UPSCALE.clean(cleaned) == cleaned


class TestTheSchema:
    @pytest.mark.parametrize("name", sorted(OPERATIONS))
    def test_says_that_an_engine_which_is_named_may_not_be_there(self, name: str) -> None:
        described = OPERATIONS[name].schema()["properties"]["engine"]["description"]

        assert "light is always there" in described
        assert "may not be installed on this server" in described

    @EVERY
    def test_lists_every_parameter_with_its_limits(self, operation: Operation) -> None:
        properties = operation.schema()["properties"]

        assert set(properties) == {parameter.name for parameter in operation.parameters}
        assert operation.schema()["additionalProperties"] is False
        for parameter in operation.parameters:
            assert properties[parameter.name].get("minimum") == parameter.minimum
            assert properties[parameter.name].get("default") == parameter.default
            assert properties[parameter.name]["description"]

    @EVERY
    def test_agrees_with_what_is_accepted(self, operation: Operation) -> None:
        for name, schema in operation.schema()["properties"].items():
            for value in schema.get("enum", [schema[end] for end in ("minimum", "maximum") if end in schema]):
                assert operation.clean({name: value})[name] == value
            for beyond in [schema[end] + step for end, step in (("minimum", -1), ("maximum", 1)) if end in schema]:
                assert "outside" in sentence(operation, **{name: beyond})

    @EVERY
    @ANY_LETTER
    @given(choices=st.data())
    def test_allows_nothing_that_is_refused(self, operation: Operation, choices: st.DataObject) -> None:
        schema = operation.schema()
        values = {
            name: choices.draw(allowed_by(each), label=name)
            for name, each in schema["properties"].items()
            if choices.draw(st.booleans())
        }

        cleaned = operation.clean(values)

        assert set(cleaned) == set(schema["properties"])
        assert {name: cleaned[name] for name in values if name != "bg_color"} == {
            name: value for name, value in values.items() if name != "bg_color"
        }


def allowed_by(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that this JSON schema of a parameter allows, the empty ones that mean its default left out."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].replace("$", r"\Z"), alphabet=st.characters(max_codepoint=127))
    return {
        "boolean": st.booleans(),
        "integer": st.integers(schema.get("minimum"), schema.get("maximum")),
        "number": st.floats(schema.get("minimum"), schema.get("maximum")),
        "string": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
        .filter(str.strip)
        .map(lambda text: text[: schema.get("maxLength")]),
    }[schema["type"]]


class TestTheOutputsSize:
    def test_is_known_before_any_work(self) -> None:
        assert UPSCALE.output_size(100, 50, {"scale": 4}) == (400, 200)
        assert UPSCALE.output_size(100, 50, {"scale": 2}) == (200, 100)
        assert BACKGROUND_REMOVE.output_size(100, 50, {}) == (100, 50)
