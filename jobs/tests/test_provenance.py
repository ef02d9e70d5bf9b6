from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.provenance import PARTS, identity, provenance
from jobs.state_store.firestore_documents import document_of, state_of
from jobs.tests.test_states import in_status

INFO: dict[str, object] = {
    "engine": {"name": "sdxl-refiner", "version": "1", "weights_sha256": "ab" * 32},
    "device": {"kind": "cuda", "name": "Tesla T4", "precision": "fp16"},
    "batch_size": 3,
    "seconds": {"decode": 0.05, "infer": 2.1, "encode": 0.02},
    "parameters": {"seed": 7, "steps": 30, "strength": 0.3, "prompt": "a boat", "negative_prompt": ""},
    "checks": {"colour_shift": 0.4, "empty": False},
    "warnings": ["The scale was not used."],
    "format": "png",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=12,
)


class TestProvenance:
    def test_is_all_that_the_model_server_tells_of_the_making(self) -> None:
        told = provenance(INFO, asked={"prompt": "a boat", "negative_prompt": "", "seed": None})

        assert told == {
            "device": INFO["device"],
            "batch_size": 3,
            "seconds": INFO["seconds"],
            "parameters": {"seed": 7, "steps": 30, "strength": 0.3},
            "checks": INFO["checks"],
            "warnings": INFO["warnings"],
        }

    def test_has_a_prompt_only_where_the_engine_took_another_than_was_asked_for(self) -> None:
        told = provenance(INFO, asked={"prompt": "", "negative_prompt": None})

        assert told["parameters"]["prompt"] == "a boat"
        assert "negative_prompt" not in told["parameters"]

    @pytest.mark.parametrize("info", [{}, dict.fromkeys(PARTS), dict.fromkeys(PARTS, "?"), dict.fromkeys(PARTS, True)])
    def test_of_a_server_that_tells_nothing_has_every_part_and_says_nothing(self, info: dict[str, object]) -> None:
        assert provenance(info, asked={}) == {
            "device": None,
            "batch_size": None,
            "seconds": {},
            "parameters": {},
            "checks": {},
            "warnings": [],
        }

    def test_has_figures_alone_among_the_seconds(self) -> None:
        seconds = {"infer": 2, "encode": "long", "decode": float("nan"), "warm": None, "cold": True}

        assert provenance({"seconds": seconds}, asked={})["seconds"] == {"infer": 2}

    def test_keeps_one_list_or_mapping_of_values_and_writes_what_is_deeper_as_text(self) -> None:
        checks = {"shift": [0.1, [2]], "alpha": {"full": 0.5, "by_edge": {"left": 1}}}

        assert provenance({"checks": checks}, asked={})["checks"] == {
            "shift": [0.1, "[2]"],
            "alpha": {"full": 0.5, "by_edge": '{"left": 1}'},
        }

    @pytest.mark.parametrize(
        ("value", "kept"),
        [(float("nan"), None), (float("-inf"), None), (2**63, str(2**63)), ("a\0b", "ab"), ("half \ud83d", "half ")],
    )
    def test_has_no_value_that_a_store_could_not_hold(self, value: object, kept: object) -> None:
        assert provenance({"checks": {"it": value, "all": [value]}}, asked={})["checks"] == {"it": kept, "all": [kept]}

    def test_that_had_to_leave_something_out_says_so(self) -> None:
        info = {
            "checks": {"map": "x" * 900, "another": "x" * 900, "large": "x" * 900, "small": 1},
            "warnings": ["Mind."],
        }

        told = provenance(info, asked={})

        assert set(told["checks"]) == {"map", "another", "small"}
        assert told["warnings"] == ["Mind.", "The model server told more of this result than is kept."]

    @pytest.mark.parametrize("part", ["seconds", "parameters", "checks"])
    @pytest.mark.parametrize("name", ["", "__reserved__", "x" * 61, "é"])
    def test_has_no_name_that_a_store_could_not_hold(self, part: str, name: str) -> None:
        assert provenance({part: {name: 1, "well": 2}}, asked={})[part] == {"well": 2}

    @given(st.dictionaries(st.sampled_from(PARTS), JSON))
    def test_is_small_and_comes_back_from_every_store_whatever_was_told(self, info: dict[str, Any]) -> None:
        told = provenance(info, asked={})

        text = json.dumps(told, allow_nan=False)
        assert len(json.dumps(told, ensure_ascii=False).encode()) < 10_000
        assert json.loads(text) == told
        state = replace(in_status("completed"), provenance=told)
        assert state_of(document_of(state, name="jobs/x")).provenance == told

    @pytest.mark.parametrize("part", ["seconds", "parameters", "checks"])
    def test_of_the_largest_is_still_small(self, part: str) -> None:
        much = {f"figure_{number}": ["é" * 2_000] * 50 for number in range(500)} | {f"n{n}": n for n in range(5_000)}

        told = provenance({part: much, "warnings": ["é" * 5_000] * 50}, asked={})

        assert len(json.dumps(told, ensure_ascii=False).encode()) < 10_000


class TestTheEngine:
    def test_is_its_name_its_version_and_the_digest_of_its_weights(self) -> None:
        assert identity(INFO) == INFO["engine"]

    @pytest.mark.parametrize("engine", [None, "light", {}, {"name": None, "version": 3}])
    def test_that_does_not_say_who_it_is_has_empty_fields(self, engine: object) -> None:
        assert identity({"engine": engine}) == {"name": "", "version": "", "weights_sha256": ""}

    def test_has_no_name_of_any_length(self) -> None:
        assert len(identity({"engine": {"name": "x" * 5_000}})["name"]) == 100
