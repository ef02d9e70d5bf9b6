"""Real-ESRGAN with a tiny network: memory that does not suffice, answers that are none, and half precision."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from triton_models.devices import CPU, Device
from triton_models.engines.real_esrgan import RealEsrgan, assemble
from triton_models.errors import EngineUnavailable, ImageTooLarge, OutOfMemory, QualityGate
from triton_models.images import Picture
from triton_models.tests.tiny_networks import tiny_network
from triton_models.tests.tiny_upscaler import Counted, at_once, difference, engine, run, wide

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from PIL import Image

    from triton_models.networks.rrdbnet import RRDBNet


@pytest.fixture
def network() -> Counted:
    return Counted()


@pytest.fixture
def picture(small_photo: Image.Image) -> Picture:
    return Picture(np.asarray(small_photo))


class TestMemoryThatDoesNotSuffice:
    def test_halves_the_batches_first(self, network: Counted, picture: Picture) -> None:
        network.room = 2 * 64 * 96
        upscaler = engine(network, tile=96)

        run(upscaler, wide(picture, 8))

        assert upscaler.batcher.largest == 2
        assert upscaler.room.now == 96

    def test_then_halves_the_tiles_and_remembers_it(self, network: Counted, picture: Picture) -> None:
        network.room = 64 * 100
        upscaler = engine(network, tile=192)
        expected = run(engine(tiny_network()), wide(picture))

        made = run(upscaler, wide(picture))

        assert difference(made, expected) <= 1
        assert upscaler.room.now == 96
        assert upscaler.batcher.largest == 1

    def test_does_not_change_what_a_repeatable_request_gets_later(self, network: Counted, picture: Picture) -> None:
        upscaler = engine(network, tile=192)
        first = run(upscaler, wide(picture), reproducible=True)
        upscaler.room.shrink_to(96)

        assert difference(run(upscaler, wide(picture), reproducible=True), first) == 0

    def test_is_said_when_not_even_the_smallest_tile_fits(self, network: Counted, picture: Picture) -> None:
        network.room = 10

        with pytest.raises(OutOfMemory, match="CPU has no room for 1 tiles of"):
            run(engine(network, tile=192), wide(picture))

    def test_is_told_from_other_errors_of_the_device(self, network: Counted, picture: Picture) -> None:
        def fail(_answer: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        network.spoil = fail

        with pytest.raises(RuntimeError, match="illegal memory access"):
            run(engine(network), picture)


class TestANetworkThatWentWrong:
    @pytest.mark.parametrize(
        ("spoil", "sentence"),
        [
            (lambda answer: answer * np.nan, "not finite"),
            (lambda answer: answer * 0, "single colour"),
            (lambda answer: answer.flip(3), "does not look like the input"),
        ],
    )
    def test_gets_a_second_try_in_smaller_tiles_and_then_gives_up(
        self, spoil: Callable[[torch.Tensor], torch.Tensor], sentence: str, network: Counted, picture: Picture
    ) -> None:
        network.spoil = spoil

        with pytest.raises(QualityGate, match=sentence):
            run(engine(network, batch=1, tile=192), wide(picture))

        assert network.passes[0] == (1, 64, 192)
        assert network.passes[-1] == (1, 64, 96)

    def test_may_do_better_the_second_time(self, network: Counted, picture: Picture) -> None:
        network.spoil = lambda answer: answer * (np.nan if answer.shape[3] > 4 * 96 else 1)
        expected = run(engine(tiny_network()), wide(picture))

        made = run(engine(network, tile=192), wide(picture))

        assert made.checks["second_try"] is True
        assert difference(made, expected) <= 1

    def test_in_one_tile_of_a_shared_pass_leaves_the_others_alone(self, network: Counted, picture: Picture) -> None:
        def spoil(answer: torch.Tensor) -> torch.Tensor:
            dark = (answer.mean(dim=(1, 2, 3), keepdim=True) < 0.2).float()
            return answer / (1 - dark)

        network.spoil = spoil
        upscaler = engine(network)
        darker = Picture((picture.rgb * 0.2).astype(np.uint8))

        bad, good = at_once(upscaler, darker, picture)

        assert difference(good.result(), run(engine(tiny_network()), picture)) <= 1
        with pytest.raises(QualityGate):
            bad.result()


class TestHalfPrecision:
    """What a card computes in, here on a processor, which is slow at it and as exact."""

    HALF = Device("cpu", "fp16", "a card")

    def half(self, network: RRDBNet) -> RealEsrgan:
        return assemble(network, self.HALF, weights_sha256="", environment={})

    def test_makes_nearly_the_same_picture(self, picture: Picture) -> None:
        outcome = run(self.half(tiny_network()), picture)

        assert difference(outcome, run(engine(tiny_network()), picture)) <= 2
        assert outcome.device.precision == "fp16"

    def test_that_overflows_is_made_up_for_in_fp32(self, picture: Picture) -> None:
        network = tiny_network()
        # The same answer by way of numbers that fp16 has no room for.
        network.conv_hr.weight *= 1e6
        network.conv_last.weight /= 1e6
        expected = run(engine(network), picture)

        outcome = run(self.half(network), picture)

        assert outcome.checks["second_try"] is True
        assert outcome.device.precision == "fp32"
        assert difference(outcome, expected) <= 1


class TestAPictureThatWouldTakeTooLongWithoutACard:
    SETTINGS = {"IMAGEN_UPSCALE_CPU_MEGAPIXELS": "0.005"}

    def test_is_refused_at_once_with_what_to_do(self, picture: Picture) -> None:
        network = Counted()
        upscaler = assemble(network, CPU, weights_sha256="", environment=self.SETTINGS)

        with pytest.raises(ImageTooLarge, match=r"at most 0\.005 megapixels; .* Choose engine light"):
            run(upscaler, picture)

        assert network.passes == []

    def test_is_taken_on_a_card(self) -> None:
        card = Device("cuda", "fp16", "Tesla T4")

        assert assemble(Counted(), card, weights_sha256="", environment=self.SETTINGS).most_megapixels == math.inf

    def test_is_one_of_more_than_two_megapixels(self) -> None:
        assert assemble(Counted(), CPU, weights_sha256="", environment={}).most_megapixels == 2

    @pytest.mark.parametrize("value", ["many", "0", "-1", "nan"])
    def test_is_not_known_by_a_limit_that_makes_no_sense(self, value: str) -> None:
        with pytest.raises(EngineUnavailable, match="IMAGEN_UPSCALE_CPU_MEGAPIXELS must be a number above 0"):
            assemble(Counted(), CPU, weights_sha256="", environment={"IMAGEN_UPSCALE_CPU_MEGAPIXELS": value})
