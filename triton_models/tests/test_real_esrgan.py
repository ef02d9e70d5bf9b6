"""Real-ESRGAN with a tiny network; what the true one does is in test_real_esrgan_weights.py."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from triton_models.devices import CPU, Device
from triton_models.engines.real_esrgan import RealEsrgan, Room, assemble
from triton_models.errors import Cancelled, EngineUnavailable, OutOfMemory, QualityGate
from triton_models.images import Picture
from triton_models.networks.rrdbnet import RRDBNet
from triton_models.parameters import Parameters
from triton_models.progress import Watch
from triton_models.tests.tiny_networks import TINY, tiny_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from PIL import Image

    from triton_models.engines import Outcome

BATCH = 4


class Counted(RRDBNet):
    """The tiny network; notes the shape of every pass, can be held back, and has room for so many pixels a pass."""

    def __init__(self) -> None:
        super().__init__(TINY)
        self.load_state_dict(tiny_network().state_dict())
        self.requires_grad_(requires_grad=False)
        self.passes: list[tuple[int, int, int]] = []
        self.room = 10**9
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.spoil: Callable[[torch.Tensor], torch.Tensor] = lambda answer: answer

    def forward(self, pixels: torch.Tensor, after_block: Callable[[float], None] | None = None) -> torch.Tensor:
        batch, _, height, width = pixels.shape
        self.began.set()
        assert self.gate.wait(10)
        if batch * height * width > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.passes.append((batch, height, width))
        return self.spoil(super().forward(pixels, after_block))


@pytest.fixture
def network() -> Counted:
    return Counted()


@pytest.fixture
def upscaler(network: Counted) -> RealEsrgan:
    return engine(network)


@pytest.fixture
def picture(small_photo: Image.Image) -> Picture:
    return Picture(np.asarray(small_photo))


def engine(network: RRDBNet, *, batch: int = BATCH, tile: int = 448) -> RealEsrgan:
    made = assemble(network, CPU, weights_sha256="0" * 64, environment={"IMAGEN_UPSCALE_BATCH": str(batch)})
    return replace(made, room=Room(tile, tile))


def run(
    upscaler: RealEsrgan, picture: Picture, is_cancelled: Callable[[], bool] = lambda: False, **parameters: object
) -> Outcome:
    return upscaler.run(picture, Parameters(**parameters), Watch(lambda _fraction, _preview: None, is_cancelled))


def at_once(upscaler: RealEsrgan, *pictures: Picture) -> list[Future[Outcome]]:
    """Run requests of one tile each so that all tiles wait before the first pass begins."""
    upscaler.batcher._patience = 10
    waiting = upscaler.batcher._waiting
    with ThreadPoolExecutor(len(pictures)) as pool, upscaler.batcher.announced():
        runs = [pool.submit(run, upscaler, picture) for picture in pictures]
        until = time.monotonic() + 10
        while len(waiting) < len(pictures):
            assert time.monotonic() < until
            time.sleep(0.005)
    return runs


def difference(one: Outcome, other: Outcome) -> int:
    return int(np.abs(one.picture.rgb.astype(int) - other.picture.rgb).max())


def wide(picture: Picture, times: int = 2) -> Picture:
    return Picture(np.tile(picture.rgb, (1, times, 1)))


class TestEnlargement:
    @pytest.mark.parametrize("scale", [4, 2])
    @pytest.mark.parametrize("shape", [(1, 1), (1, 40), (32, 32), (33, 127), (200, 35)])
    def test_fits_any_shape_and_keeps_a_colour(self, shape: tuple[int, int], scale: int, upscaler: RealEsrgan) -> None:
        flat = np.full((*shape, 3), (200, 80, 40), np.uint8)

        made = run(upscaler, Picture(flat), scale=scale).picture.rgb

        assert made.shape == (shape[0] * scale, shape[1] * scale, 3)
        assert np.abs(made.astype(int).mean(axis=(0, 1)) - flat[0, 0]).max() < 2

    def test_in_tiles_hardly_differs_from_the_whole(self, network: Counted, picture: Picture) -> None:
        whole = run(engine(network), wide(picture))
        tiled = run(engine(network, tile=96), wide(picture))

        assert {height for _, height, _ in network.passes} == {64}
        assert {width for _, _, width in network.passes} == {192, 96}
        assert difference(whole, tiled) <= 1

    def test_of_a_picture_that_is_padded_to_a_common_shape_hardly_differs(
        self, network: Counted, picture: Picture
    ) -> None:
        upscaler = engine(network, tile=192)
        odd = Picture(picture.rgb[:50, :77])
        as_it_is = run(upscaler, odd)
        padded = run(replace(upscaler, setting=replace(upscaler.setting, shapes=3)), odd)

        assert network.passes == [(1, 50, 77), (1, 64, 128)]
        # Beyond the edge the network has zeros or reflected pixels; eight pixels inside there is nothing left of it.
        assert np.abs(as_it_is.picture.rgb[:-32, :-32].astype(int) - padded.picture.rgb[:-32, :-32]).max() <= 1

    def test_of_a_strip_as_long_as_may_come_in_goes_tile_by_tile(self, network: Counted) -> None:
        rng = np.random.default_rng(0)
        strip = np.repeat(rng.integers(0, 256, (32, 500, 3), np.uint8), 40, axis=1)

        made = run(engine(network, batch=1), Picture(strip), scale=2)

        assert made.picture.rgb.shape == (64, 40_000, 3)
        assert max(width for _, _, width in network.passes) <= 448

    def test_of_gray_stays_gray(self, upscaler: RealEsrgan, small_photo: Image.Image) -> None:
        gray = Picture(np.asarray(small_photo.convert("L").convert("RGB")))

        assert np.ptp(run(upscaler, gray).picture.rgb.astype(int), axis=2).max() == 0

    def test_takes_transparency_along_and_draws_no_dark_rim(self, upscaler: RealEsrgan) -> None:
        rgb, alpha = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
        rgb[:, 32:], alpha[:, 32:] = 230, 255
        rgb[40:, 40:] = 150

        made = run(upscaler, Picture(rgb, alpha)).picture

        assert made.alpha is not None
        assert made.alpha.shape == (256, 256)
        assert made.rgb[:120][made.alpha[:120] > 0].min() > 215

    def test_of_full_transparency_is_fully_transparent(self, upscaler: RealEsrgan, picture: Picture) -> None:
        made = run(upscaler, Picture(picture.rgb, np.zeros((64, 96), np.uint8)))

        assert made.picture.alpha is not None
        assert not made.picture.alpha.any()

    def test_takes_back_what_colours_drift_and_tells_how_much(self, network: Counted, picture: Picture) -> None:
        network.spoil = lambda answer: answer + 0.1

        outcome = run(engine(network), picture)

        assert outcome.checks["raw_color_shift_mean"] > 20
        assert outcome.checks["color_shift_mean"] < 2
        assert outcome.checks["reduced_psnr_db"] > 28

    def test_says_where_and_how_it_was_made(self, upscaler: RealEsrgan, picture: Picture) -> None:
        outcome = run(upscaler, picture)

        assert outcome.device == CPU
        assert outcome.batch_size == 1
        assert "second_try" not in outcome.checks


class TestSharedPasses:
    def test_serve_tiles_of_two_requests_and_make_what_they_would_alone(
        self, network: Counted, picture: Picture
    ) -> None:
        mirrored = Picture(picture.rgb[:, ::-1].copy())
        upscaler = engine(network)
        alone = [run(upscaler, each) for each in (picture, mirrored)]
        network.passes.clear()
        together = [each.result() for each in at_once(upscaler, picture, mirrored)]

        assert [each.batch_size for each in together] == [2, 2]
        assert network.passes == [(2, 64, 96)]
        assert [difference(*pair) for pair in zip(alone, together, strict=True)] <= [1, 1]

    def test_are_not_for_a_request_that_must_be_repeatable(self, network: Counted, picture: Picture) -> None:
        upscaler = engine(network, tile=96)

        first = run(upscaler, wide(picture), reproducible=True)
        second = run(upscaler, wide(picture), reproducible=True)

        assert {batch for batch, _, _ in network.passes} == {1}
        assert difference(first, second) == 0

    def test_are_not_for_tiles_of_two_shapes(self, network: Counted, picture: Picture) -> None:
        upscaler = engine(network)

        at_once(upscaler, picture, Picture(picture.rgb[:40]))

        assert sorted(network.passes) == [(1, 40, 96), (1, 64, 96)]

    def test_lose_a_cancelled_request_without_harm_to_the_other(self, network: Counted, picture: Picture) -> None:
        upscaler, cancelled = engine(network, tile=96), threading.Event()
        expected = run(upscaler, picture)
        network.gate.clear()
        network.began.clear()
        network.passes.clear()
        with ThreadPoolExecutor(2) as pool:
            leaving = pool.submit(run, upscaler, wide(picture, 20), cancelled.is_set)
            assert network.began.wait(10)
            staying = pool.submit(run, upscaler, picture)
            cancelled.set()
            with pytest.raises(Cancelled):
                leaving.result(timeout=10)
            network.gate.set()

            assert difference(staying.result(timeout=10), expected) <= 1

        assert sum(batch for batch, _, _ in network.passes) <= 1 + BATCH

    def test_end_between_two_blocks_when_nobody_waits_any_more(self, network: Counted, picture: Picture) -> None:
        upscaler, cancelled, answered = engine(network), threading.Event(), []
        network.spoil = lambda answer: answered.append(1) or answer
        network.gate.clear()
        with ThreadPoolExecutor(1) as pool:
            leaving = pool.submit(run, upscaler, picture, cancelled.is_set)
            assert network.began.wait(10)
            cancelled.set()
            with pytest.raises(Cancelled):
                leaving.result(timeout=10)
        network.gate.set()
        upscaler.batcher.close()

        assert network.passes == [(1, 64, 96)]
        assert not answered


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


class TestProgress:
    def test_goes_on_inside_a_tile_and_shows_what_is_done(self, network: Counted, picture: Picture) -> None:
        upscaler, heard = engine(network, batch=1, tile=96), []
        watch = Watch(lambda fraction, preview: heard.append((fraction, preview)), lambda: False)

        upscaler.run(wide(picture, 4), Parameters(), watch)

        fractions = [fraction for fraction, _ in heard]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert heard[0][1] is not None

    def test_counts_the_blocks_of_the_tile_that_is_waited_for(self, picture: Picture) -> None:
        class Slow(RRDBNet):
            def forward(self, pixels: torch.Tensor, after_block: Callable[[float], None] | None = None) -> torch.Tensor:
                assert after_block is not None
                after_block(0.5)
                until = time.monotonic() + 10
                while not any(0 < fraction < 1 for fraction in heard):
                    assert time.monotonic() < until
                    time.sleep(0.01)
                return torch.nn.functional.interpolate(pixels, scale_factor=4.0, mode="bilinear")

        heard: list[float] = []

        engine(Slow(TINY)).run(picture, Parameters(), Watch(lambda fraction, _: heard.append(fraction), lambda: False))

        assert 0.5 in heard


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


class TestTheLargestBatch:
    def test_is_one_on_a_processor_unless_asked_for(self) -> None:
        made = assemble(tiny_network(), CPU, weights_sha256="", environment={})

        assert made.batcher.largest == 1

    @pytest.mark.parametrize("asked", ["0", "many", "65"])
    def test_is_a_number(self, asked: str) -> None:
        with pytest.raises(EngineUnavailable, match=f"IMAGEN_UPSCALE_BATCH must be .*not '{asked}'"):
            assemble(tiny_network(), CPU, weights_sha256="", environment={"IMAGEN_UPSCALE_BATCH": asked})
