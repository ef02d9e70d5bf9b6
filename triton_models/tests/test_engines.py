from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from triton_models import devices
from triton_models.engines import (
    OPERATIONS,
    EngineSpec,
    Operation,
    Outcome,
    choose,
    engine_threads,
    load_engines,
    required_engines,
)
from triton_models.errors import EngineUnavailable, UnknownEngine
from triton_models.parameters import Parameters

if TYPE_CHECKING:
    from pathlib import Path

    from triton_models.images import Picture
    from triton_models.progress import Watch


@dataclass(frozen=True)
class Idle:
    name: str
    version: str = "1"
    weights_sha256: str = ""
    uses: frozenset[str] = frozenset()
    seconds_per_megapixel: float = 1.0

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        return Outcome(picture)


BEST, WITH_PROMPT, SIMPLE = Idle("best"), Idle("with-prompt"), Idle("simple")
OPERATION = Operation(
    name="upscale",
    engines=(
        EngineSpec("with-prompt", "no.module", only_with_prompt=True),
        EngineSpec("best", "no.module"),
        EngineSpec("simple", "no.module", light=True),
    ),
    accepts={},
    output_size=lambda width, height, _parameters: (width, height),
)
ALL = {engine.name: engine for engine in (WITH_PROMPT, BEST, SIMPLE)}


@pytest.fixture
def upscale_only(volume: Path, tmp_path: Path) -> Path:
    """A model volume without the weights of u2netp."""
    shutil.copytree(volume / "realesr-animevideov3", tmp_path / "realesr-animevideov3")
    return tmp_path


class TestChoose:
    @pytest.mark.parametrize(
        ("engine", "prompt", "chosen"),
        [
            ("auto", "", BEST),
            ("auto", "a sharper cat", WITH_PROMPT),
            ("light", "a sharper cat", SIMPLE),
            ("simple", "", SIMPLE),
            ("with-prompt", "", WITH_PROMPT),
        ],
    )
    def test_takes_the_best_that_fits_or_the_one_asked_for(self, engine: str, prompt: str, chosen: Idle) -> None:
        assert choose(OPERATION, ALL, Parameters(engine=engine, prompt=prompt)) is chosen

    def test_falls_back_to_the_light_engine_where_there_is_no_other(self) -> None:
        assert choose(OPERATION, {"simple": SIMPLE}, Parameters(prompt="a sharper cat")) is SIMPLE

    def test_tells_an_unknown_name_from_one_that_is_not_loaded(self) -> None:
        with pytest.raises(UnknownEngine, match="choose auto, light or one of with-prompt, best, simple"):
            choose(OPERATION, ALL, Parameters(engine="sdxl"))
        with pytest.raises(EngineUnavailable, match="best is not installed on this server"):
            choose(OPERATION, {"simple": SIMPLE}, Parameters(engine="best"))

    @pytest.mark.parametrize(
        ("loaded", "others"),
        [({"simple": SIMPLE}, "auto or light"), ({"best": BEST, "simple": SIMPLE}, "auto, light or best")],
    )
    def test_tells_who_asks_for_a_missing_engine_what_to_choose_and_no_words_of_an_operators(
        self, loaded: dict[str, Idle], others: str
    ) -> None:
        with pytest.raises(EngineUnavailable) as refused:
            choose(OPERATION, loaded, Parameters(engine="with-prompt"))

        assert str(refused.value) == f"The engine with-prompt is not installed on this server. Choose {others}."


class TestLoadEngines:
    @pytest.mark.parametrize("name", sorted(OPERATIONS))
    def test_loads_the_light_engine_of_every_operation(self, name: str, volume: Path) -> None:
        loaded = load_engines(OPERATIONS[name], volume)

        light = OPERATIONS[name].light.name
        assert loaded[light].name == light
        assert len(loaded[light].weights_sha256) in {0, 64}

    def test_leaves_out_a_main_engine_without_weights(self, upscale_only: Path) -> None:
        missing = EngineSpec("huge", "a.library.that.is.missing", weights=("u2netp",))
        operation = replace(OPERATIONS["upscale"], engines=(missing, OPERATIONS["upscale"].light))

        loaded = load_engines(operation, upscale_only)

        assert list(loaded) == ["realesr-animevideov3"]

    def test_refuses_to_start_without_a_required_engine(self, upscale_only: Path) -> None:
        required = EngineSpec("u2netp", "triton_models.engines.background_light", weights=("u2netp",))
        operation = replace(OPERATIONS["upscale"], engines=(required, OPERATIONS["upscale"].light))

        with pytest.raises(EngineUnavailable, match=r"u2netp\.onnx is missing"):
            load_engines(operation, upscale_only, required=frozenset({"u2netp"}))

    def test_takes_the_other_kind_of_weights_where_the_first_is_missing(self, upscale_only: Path) -> None:
        spec = EngineSpec("film", "triton_models.engines.aged_light", ("u2netp",), or_weights=("realesr-animevideov3",))
        operation = replace(OPERATIONS["upscale"], engines=(spec, OPERATIONS["upscale"].light))

        assert list(load_engines(operation, upscale_only)) == ["film", "realesr-animevideov3"]
        assert spec.problem(upscale_only) is None
        assert "u2netp.onnx is missing" in (spec.problem(upscale_only / "empty") or "")

    def test_says_which_library_a_main_engine_lacks_and_serves_without_it(
        self, upscale_only: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        spec = EngineSpec("huge", "a_library_that_is_missing", weights=("realesr-animevideov3",))
        operation = replace(OPERATIONS["upscale"], engines=(spec, OPERATIONS["upscale"].light))

        assert list(load_engines(operation, upscale_only)) == ["realesr-animevideov3"]
        assert "The engine huge needs a_library_that_is_missing" in caplog.text
        with pytest.raises(EngineUnavailable, match="huge needs a_library_that_is_missing, which is not installed"):
            load_engines(operation, upscale_only, required=frozenset({"huge"}))


class TestAnEngineThatNeedsACard:
    SLOW = EngineSpec("film", "triton_models.engines.aged_light", needs_card=True)
    OPERATION = replace(OPERATIONS["style_comic"], engines=(SLOW, OPERATIONS["style_comic"].light))

    @pytest.mark.parametrize(
        ("device", "required", "chosen"),
        [
            (devices.CPU, frozenset(), "xdog"),
            (devices.CPU, frozenset({"film"}), "film"),
            (devices.Device("cuda", "fp16", "Tesla T4"), frozenset(), "film"),
        ],
    )
    def test_is_taken_by_auto_on_a_card_or_where_it_is_required(
        self,
        device: devices.Device,
        required: frozenset[str],
        chosen: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(devices, "choose", lambda: device)

        loaded = load_engines(self.OPERATION, tmp_path, required=required)

        assert choose(self.OPERATION, loaded, Parameters()).name == chosen
        assert choose(self.OPERATION, loaded, Parameters(engine="film")).name == "film"


class TestRequiredEngines:
    def test_are_named_in_the_environment(self) -> None:
        names = required_engines({"IMAGEN_REQUIRE_ENGINES": "u2netp, realesr-animevideov3"})

        assert names == {"u2netp", "realesr-animevideov3"}

    def test_are_none_by_default(self) -> None:
        assert required_engines({}) == frozenset()

    def test_may_not_be_misspelled(self) -> None:
        with pytest.raises(EngineUnavailable, match="names u2nett; there are"):
            required_engines({"IMAGEN_REQUIRE_ENGINES": "u2nett"})


class TestEngineThreads:
    def test_come_from_the_environment(self) -> None:
        assert engine_threads({"IMAGEN_ENGINE_THREADS": "3"}) == 3

    def test_are_at_least_one_by_default(self) -> None:
        assert engine_threads({}) >= 1

    @pytest.mark.parametrize(("cores", "any_other", "one_for_cards"), [(2, 2, 1), (4, 4, 1), (16, 16, 16)])
    def test_are_one_for_an_engine_that_needs_a_card_on_a_small_machine(
        self, cores: int, any_other: int, one_for_cards: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))

        assert engine_threads({}) == any_other
        assert engine_threads({}, needs_card=True) == one_for_cards
        assert engine_threads({"IMAGEN_ENGINE_THREADS": "3"}, needs_card=True) == 3

    @pytest.mark.parametrize("value", ["0", "-1", "many"])
    def test_refuse_nonsense(self, value: str) -> None:
        with pytest.raises(EngineUnavailable, match="IMAGEN_ENGINE_THREADS must be a whole number"):
            engine_threads({"IMAGEN_ENGINE_THREADS": value})
