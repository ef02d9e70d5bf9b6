from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from triton_models.engines import OPERATIONS
from triton_models.images import Picture
from triton_models.pipeline import Pipeline
from triton_models.tests.pictures import encoded, pixels, run
from triton_models.tests.restyling import OPERATION, Calls, asked, rigged, the_same, watch

if TYPE_CHECKING:
    from triton_models.diffusion.restyling import Restyler


class TestColors:
    def test_are_the_photographs_own_when_it_is_enhanced(self, restylers: dict[str, Restyler], photo: Picture) -> None:
        tint = torch.tensor([0.1, 0.0, -0.1])[None, :, None, None]
        engine = rigged(restylers["sdxl-refiner"], Calls(lambda *arguments: the_same(*arguments) * 0.8 + 0.1 + tint))

        made = engine.run(photo, asked(strength=0.5), watch())

        shift = np.abs(made.picture.rgb.mean(axis=(0, 1)) - photo.rgb.mean(axis=(0, 1)))
        assert shift.max() < 2
        assert made.checks["color_shift_before"] > 10
        assert made.checks["color_shift_mean"] < 2

    def test_are_the_models_in_a_style_and_only_measured(self, restylers: dict[str, Restyler], photo: Picture) -> None:
        tint = torch.tensor([0.0, 0.0, -0.2])[None, :, None, None]
        engine = rigged(
            restylers["stable-diffusion-2-1"], Calls(lambda *arguments: the_same(*arguments) * 0.8 + 0.2 + tint)
        )

        made = engine.run(photo, asked(), watch())

        assert made.picture.rgb[..., 0].mean() - made.picture.rgb[..., 2].mean() > 30
        assert made.checks["color_shift_mean"] > 10


class TestOddPictures:
    @pytest.fixture
    def pipeline(self, restyler: Restyler) -> Pipeline:
        return Pipeline(OPERATIONS[OPERATION[restyler.name]], {restyler.name: restyler})

    @pytest.mark.parametrize("size", [(32, 32), (20_000, 32), (32, 700)])
    def test_of_any_shape_come_back_in_it(
        self, restyler: Restyler, astronaut: Image.Image, size: tuple[int, int]
    ) -> None:
        made = restyler.run(Picture(np.asarray(astronaut.resize(size))), asked(steps=2), watch())

        assert (made.picture.width, made.picture.height) == size
        assert any("squeezed" in warning for warning in made.warnings) == (max(size) > 4 * min(size))

    def test_keep_their_transparency_and_show_nothing_of_what_it_hides(
        self, comic: Restyler, astronaut: Image.Image
    ) -> None:
        alpha = np.zeros((128, 128), np.uint8)
        alpha[:, 40:] = 200
        rgb = np.asarray(astronaut.resize((128, 128)))
        other = np.where(alpha[..., None] > 0, rgb, 255 - rgb)

        first, second = (comic.run(Picture(each, alpha), asked(), watch()).picture for each in (rgb, other))

        assert np.array_equal(first.alpha, alpha)
        assert np.array_equal(first.rgb[alpha > 0], second.rgb[alpha > 0])

    def test_that_show_nothing_are_left_as_they_are(self, restylers: dict[str, Restyler], photo: Picture) -> None:
        calls = Calls()
        hidden = Picture(photo.rgb, np.zeros(photo.rgb.shape[:2], np.uint8))

        made = rigged(restylers["ghibli-diffusion"], calls).run(hidden, asked(), watch())

        assert (made.picture is hidden, len(made.warnings), calls.made) == (True, 1, [])

    def test_without_color_stay_so_unless_they_are_aged(self, restyler: Restyler, photo: Picture) -> None:
        gray = np.repeat(photo.rgb[..., :1], 3, axis=2)

        made = restyler.run(Picture(gray, gray=True), asked(), watch()).picture

        assert made.gray == (np.ptp(made.rgb, axis=2).max() == 0) == (restyler.name != "stable-diffusion-2-1")

    def test_of_sixteen_bits_are_read_and_made_anew(self, comic: Restyler, astronaut: Image.Image) -> None:
        deep = Image.fromarray(np.asarray(astronaut.convert("L").resize((64, 48))).astype(np.uint16) * 257)
        pipeline = Pipeline(OPERATIONS["style_comic"], {comic.name: comic})

        made = run(pipeline, encoded(deep), strength=0.6, steps=2, seed=1, options={"engine": comic.name})

        assert pixels(made.image).shape == (48, 64)
        assert made.info["parameters"]["steps"] == 2
        assert made.info["warnings"] == []

    def test_are_returned_as_they_are_at_no_strength(self, pipeline: Pipeline, astronaut: Image.Image) -> None:
        small = astronaut.resize((64, 48))
        engine = next(iter(pipeline.engines))

        made = run(pipeline, small, strength=0.0, options={"engine": engine})

        assert np.array_equal(pixels(made.image), pixels(small))
