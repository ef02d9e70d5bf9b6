"""What a model proves before the server says that it is ready."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from triton_models import self_test
from triton_models.engines import OPERATIONS, EngineSpec, Outcome
from triton_models.errors import EngineUnavailable, QualityGate
from triton_models.pipeline import Pipeline

if TYPE_CHECKING:
    from triton_models.images import Picture
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch

Act = Callable[["Picture", "Parameters"], "Picture"]


@dataclass
class Scripted:
    """An engine of style_aged that does what it is told."""

    name: str
    act: Act = lambda picture, _: picture
    asked: list[Parameters] = field(default_factory=list)
    version: str = "1"
    weights_sha256: str = ""
    uses: frozenset[str] = frozenset()
    seconds_per_megapixel: float = 1.0

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        self.asked.append(parameters)
        return Outcome(self.act(picture, parameters))


def pipeline_of(*engines: Scripted) -> Pipeline:
    """A pipeline with these engines in auto's order; the light one is called film."""
    specs = tuple(EngineSpec(engine.name, "", light=engine.name == "film") for engine in engines)
    return Pipeline(replace(OPERATIONS["style_aged"], engines=specs), {engine.name: engine for engine in engines})


class TestTheSelfTest:
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_is_passed_by_every_light_engine(
        self, operation: str, load: Callable[[str], Pipeline], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "triton_models"):
            self_test.check(load(operation))

        (line,) = [line for line in caplog.messages if line.startswith("self-test")]
        assert line.startswith(f"self-test of {operation} passed: ")
        assert f"{OPERATIONS[operation].light.name} " in line

    def test_runs_every_engine_that_a_job_may_meet(self) -> None:
        best, light = Scripted("stable-diffusion"), Scripted("film")

        self_test.check(pipeline_of(best, light))

        (asked,) = best.asked
        assert asked.steps * asked.strength >= 1
        assert asked.prompt
        assert len(light.asked) == 1

    def test_leaves_out_what_would_take_minutes_here_and_says_so(self, caplog: pytest.LogCaptureFixture) -> None:
        light, slow = Scripted("film"), Scripted("stable-diffusion")

        self_test.check(pipeline_of(light, slow))

        assert slow.asked == []
        assert "the engine stable-diffusion of style_aged was loaded but not tested" in caplog.text

    def test_names_the_engine_that_fails_and_why(self) -> None:
        def black(picture: Picture, _: Parameters) -> Picture:
            return replace(picture, rgb=picture.rgb * 0)

        with pytest.raises(EngineUnavailable, match=r"engine broken of style_aged .*: The result is a single colour"):
            self_test.check(pipeline_of(Scripted("broken", black), Scripted("film")))

    @pytest.mark.parametrize("error", [RuntimeError("no kernel image"), KeyError("layer"), QualityGate("odd")])
    def test_turns_whatever_an_engine_raises_into_a_refusal(self, error: Exception) -> None:
        def fail(_picture: Picture, _: Parameters) -> Picture:
            raise error

        with pytest.raises(EngineUnavailable, match="engine film of style_aged fails its self-test"):
            self_test.check(pipeline_of(Scripted("film", fail)))
