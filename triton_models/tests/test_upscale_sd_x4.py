from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from triton_models.diffusion.passes import Passes
from triton_models.engines import OPERATIONS, choose, upscale_light, upscale_sd_x4
from triton_models.engines.upscale_sd_x4 import PromptedUpscaler, enlarge_tiles
from triton_models.errors import Cancelled, OutOfMemory, QualityGate
from triton_models.images import Picture
from triton_models.parameters import Parameters
from triton_models.progress import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from triton_models.diffusion.passes import Terms, Wish

TILE = 16


class Calls:
    def __init__(self, call: Callable[..., torch.Tensor]) -> None:
        self.call = call
        self.made: list[list[Wish]] = []
        self.terms: list[Terms] = []

    def __call__(self, pipeline: Any, wishes: Sequence[Wish], terms: Terms, after_step: Any) -> torch.Tensor:
        assert {wish.pixels.shape for wish in wishes} == {(TILE, TILE, 3)}
        self.made.append(list(wishes))
        self.terms.append(terms)
        return self.call(pipeline, wishes, terms, after_step)


def smoothly(_pipeline: Any, wishes: Sequence[Wish], _terms: Terms, _after_step: Any) -> torch.Tensor:
    """A model that enlarges and makes nothing up."""
    side = TILE * 4
    tiles = [cv2.resize(wish.pixels, (side, side), interpolation=cv2.INTER_CUBIC) for wish in wishes]
    return torch.from_numpy(np.stack(tiles).clip(0, 1).transpose(0, 3, 1, 2))


@pytest.fixture(scope="module")
def loaded(tiny_volume: Path) -> PromptedUpscaler:
    return upscale_sd_x4.load(tiny_volume, threads=1)


@pytest.fixture
def engine(loaded: PromptedUpscaler) -> PromptedUpscaler:
    return rigged(loaded, enlarge_tiles)


def rigged(engine: PromptedUpscaler, call: Callable[..., torch.Tensor], largest: int = 4) -> PromptedUpscaler:
    return replace(engine, passes=Passes(engine.passes.loaded, Calls(call), largest), tile=TILE, overlap=4)


@pytest.fixture(scope="module")
def photo(astronaut: Image.Image) -> Picture:
    return Picture(np.asarray(astronaut.crop((150, 0, 350, 150)).resize((28, 21), Image.Resampling.BOX)))


def watch(is_cancelled: Callable[[], bool] = lambda: False) -> Watch:
    return Watch(lambda _fraction, _preview: None, is_cancelled)


def asked(**others: Any) -> Parameters:
    return Parameters(**{"prompt": "a woman", "steps": 2, "seed": 11, **others})


def apart(one: Picture, other: Picture) -> int:
    return int(np.abs(one.rgb.astype(int) - other.rgb.astype(int)).max())


class TestAPromptedEnlargement:
    @pytest.mark.parametrize("scale", [2, 4])
    def test_is_as_large_as_promised_and_has_the_tones_of_its_input(
        self, engine: PromptedUpscaler, photo: Picture, scale: int
    ) -> None:
        made = engine.run(photo, asked(scale=scale), watch())

        assert (made.picture.width, made.picture.height) == (28 * scale, 21 * scale)
        small = cv2.resize(made.picture.rgb, (7, 5), interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(small - cv2.resize(photo.rgb, (7, 5), interpolation=cv2.INTER_AREA)).mean() < 25
        assert made.chosen == {"seed": 11, "steps": 2, "guidance_scale": 9.0}
        assert made.checks["reduced_psnr_db"] > 10

    def test_shows_no_seams(self, loaded: PromptedUpscaler, photo: Picture) -> None:
        made = rigged(loaded, smoothly).run(photo, asked(), watch())

        whole = cv2.resize(photo.rgb, (112, 84), interpolation=cv2.INTER_CUBIC).astype(int)
        assert np.abs(made.picture.rgb - whole).mean() < 3
        assert np.percentile(np.abs(made.picture.rgb - whole), 99) < 20

    def test_begins_with_the_same_noise_where_its_tiles_overlap(self, loaded: PromptedUpscaler) -> None:
        seen: list[torch.Tensor] = []
        engine = replace(loaded, passes=Passes(loaded.passes.loaded, enlarge_tiles, 1), tile=TILE, overlap=4)
        hook = loaded.passes.loaded.pipeline.unet.register_forward_pre_hook(
            lambda _net, inputs: seen.append(inputs[0][0])
        )

        engine.run(Picture(np.full((TILE, 28, 3), 128, np.uint8)), asked(steps=1), watch())

        hook.remove()
        left, right = seen
        assert torch.allclose(left[:, :, 12:], right[:, :, :4], atol=1e-6)
        assert left[:4, :, 12:].std() > 0.5
        assert left[4:, :, 12:].std() > 0.01
        assert not torch.allclose(left[4:, :, :4], right[4:, :, :4], atol=1e-3)

    def test_depends_on_the_prompt_and_the_seed(self, engine: PromptedUpscaler, photo: Picture) -> None:
        plain = engine.run(photo, asked(), watch()).picture

        assert apart(plain, engine.run(photo, asked(), watch()).picture) <= 1
        assert apart(plain, engine.run(photo, asked(seed=12), watch()).picture) > 5
        assert apart(plain, engine.run(photo, asked(prompt="a red house, " * 9), watch()).picture) > 0

    def test_is_the_same_again_when_it_must_be_reproducible(self, engine: PromptedUpscaler, photo: Picture) -> None:
        first, second = (engine.run(photo, asked(reproducible=True, seed=None), watch()) for _ in range(2))

        assert apart(first.picture, second.picture) == 0
        assert first.chosen == second.chosen
        assert {len(wishes) for wishes in engine.passes.call.made} == {1}

    def test_is_for_requests_with_a_prompt(self, engine: PromptedUpscaler, volume: Path) -> None:
        operation = OPERATIONS["upscale"]
        light = upscale_light.load(volume, threads=1)
        loaded = {engine.name: engine, light.name: light}

        assert choose(operation, loaded, Parameters(prompt="a cat")) is engine
        assert choose(operation, loaded, Parameters()) is light

    def test_says_when_it_did_not_read_the_whole_prompt(self, engine: PromptedUpscaler, photo: Picture) -> None:
        assert len(engine.run(photo, asked(prompt="very " * 100), watch()).warnings) == 1


class TestTilesOfSeveralRequests:
    def test_share_passes_and_come_out_as_they_would_alone(self, loaded: PromptedUpscaler, photo: Picture) -> None:
        # Both have four tiles.
        engine = rigged(loaded, enlarge_tiles, largest=8)
        other = Picture(photo.rgb[::-1].copy())
        requests = [(photo, asked()), (other, asked(seed=3, prompt="a dog"))]
        alone = [engine.run(picture, parameters, watch()) for picture, parameters in requests]

        with ThreadPoolExecutor(2) as pool, engine.batcher.announced():
            made = [pool.submit(engine.run, picture, parameters, watch()) for picture, parameters in requests]
            shared = [each.result(30) for each in made]

        assert any(len({wish.seed for wish in wishes}) == 2 for wishes in engine.passes.call.made)
        assert {each.batch_size for each in shared} == {2}
        for one, both in zip(alone, shared, strict=True):
            assert apart(one.picture, both.picture) <= 1

    def test_tell_how_far_they_are_within_a_tile(self, engine: PromptedUpscaler, photo: Picture) -> None:
        told: list[float] = []

        engine.run(photo, asked(steps=3), Watch(lambda fraction, _preview: told.append(fraction), lambda: False))

        assert told == sorted(told)
        assert (told[0], told[-1]) == (0.0, 1.0)

    def test_are_left_undone_within_a_step_when_nobody_waits(self, loaded: PromptedUpscaler, photo: Picture) -> None:
        began, left = threading.Event(), threading.Event()
        steps: list[int] = []

        def held(pipeline: Any, wishes: Sequence[Wish], terms: Terms, after_step: Any) -> torch.Tensor:
            began.set()
            assert left.wait(10)

            def after(step: int, total: int, latents: torch.Tensor) -> None:
                steps.append(step)
                after_step(step, total, latents)

            return enlarge_tiles(pipeline, wishes, terms, after)

        engine = rigged(loaded, held)
        with pytest.raises(Cancelled):
            engine.run(photo, asked(), watch(began.is_set))
        left.set()
        engine.batcher.close()

        assert (steps, len(engine.passes.call.made)) == ([0], 1)


class TestACardThatIsFull:
    def test_is_given_smaller_tiles_once(self, loaded: PromptedUpscaler, photo: Picture) -> None:
        tiles: list[int] = []

        def cramped(_pipeline: Any, wishes: Sequence[Wish], terms: Terms, _after_step: Any) -> torch.Tensor:
            tiles.append(terms.width)
            if terms.width > 8:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return (
                torch.stack([torch.from_numpy(wish.pixels).permute(2, 0, 1) for wish in wishes])
                .repeat_interleave(4, dim=2)
                .repeat_interleave(4, dim=3)
            )

        engine = replace(loaded, passes=Passes(loaded.passes.loaded, cramped, 1), tile=TILE, overlap=4)

        assert engine.run(photo, asked(), watch()).picture.width == 112
        assert tiles.index(8) <= 2

    def test_is_said_to_be_so_when_no_tile_fits(self, loaded: PromptedUpscaler, photo: Picture) -> None:
        def full(*_: Any) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        engine = replace(loaded, passes=Passes(loaded.passes.loaded, full, 1), tile=TILE, overlap=4)
        with pytest.raises(OutOfMemory, match="no room for a picture of 8 x 8"):
            engine.run(photo, asked(), watch())


class TestOddPictures:
    def test_of_one_tile_and_less_are_enlarged(self, engine: PromptedUpscaler, astronaut: Image.Image) -> None:
        made = engine.run(Picture(np.asarray(astronaut.resize((5, 12)))), asked(), watch())

        assert (made.picture.width, made.picture.height) == (20, 48)

    def test_keep_gray_and_transparency(self, engine: PromptedUpscaler, photo: Picture) -> None:
        gray = np.repeat(photo.rgb[..., :1], 3, axis=2)
        alpha = np.zeros(gray.shape[:2], np.uint8)
        alpha[:, :15] = 255

        made = engine.run(Picture(gray, alpha, gray=True), asked(), watch()).picture

        assert made.gray
        assert np.ptp(made.rgb, axis=2).max() == 0
        assert made.alpha is not None
        assert (made.alpha[:, :50].min(), made.alpha[:, 70:].max()) == (255, 0)

    def test_that_come_out_broken_are_tried_again_and_then_refused(
        self, engine: PromptedUpscaler, photo: Picture
    ) -> None:
        hook = engine.passes.loaded.pipeline.unet.register_forward_hook(
            lambda _net, _inputs, outputs: (outputs[0] * float("nan"),)
        )
        with pytest.raises(QualityGate, match="not finite"):
            engine.run(photo, asked(), watch())
        hook.remove()

        assert sum(terms.careful for terms in engine.passes.call.terms) == 1
        assert engine.run(photo, asked(), watch()).picture.width == 112
