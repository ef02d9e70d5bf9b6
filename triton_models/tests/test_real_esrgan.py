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

from triton_models.devices import CPU
from triton_models.engines.real_esrgan import RealEsrgan, assemble
from triton_models.errors import Cancelled, EngineUnavailable
from triton_models.images import Picture
from triton_models.networks.rrdbnet import RRDBNet
from triton_models.parameters import Parameters
from triton_models.progress import Watch
from triton_models.tests.tiny_networks import TINY, tiny_network
from triton_models.tests.tiny_upscaler import BATCH, Counted, at_once, difference, engine, run, wide

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image


@pytest.fixture
def network() -> Counted:
    return Counted()


@pytest.fixture
def upscaler(network: Counted) -> RealEsrgan:
    return engine(network)


@pytest.fixture
def picture(small_photo: Image.Image) -> Picture:
    return Picture(np.asarray(small_photo))


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
        assert max(difference(*pair) for pair in zip(alone, together, strict=True)) <= 1

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


class TestTheLargestBatch:
    def test_is_one_on_a_processor_unless_asked_for(self) -> None:
        made = assemble(tiny_network(), CPU, weights_sha256="", environment={})

        assert made.batcher.largest == 1

    @pytest.mark.parametrize("asked", ["0", "many", "65"])
    def test_is_a_number(self, asked: str) -> None:
        with pytest.raises(EngineUnavailable, match=f"IMAGEN_UPSCALE_BATCH must be .*not '{asked}'"):
            assemble(tiny_network(), CPU, weights_sha256="", environment={"IMAGEN_UPSCALE_BATCH": asked})
