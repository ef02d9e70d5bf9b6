"""Pictures that are right, and that almost nobody sends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from triton_models.engines import OPERATIONS
from triton_models.errors import ImageTooSmall
from triton_models.images import Limits, decode
from triton_models.tests.pictures import encoded, opened, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from triton_models.pipeline import Pipeline


class TestAPictureInLab:
    def test_is_opaque_although_one_of_its_bands_is_called_a(self) -> None:
        picture = decode(encoded(Image.new("RGB", (48, 40), (200, 60, 40)).convert("LAB"), "TIFF"))

        assert picture.alpha is None
        assert np.abs(picture.rgb.astype(int) - (200, 60, 40)).max() <= 3


class TestAFullyTransparentPicture:
    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_is_enlarged_and_says_only_what_json_can_say(self, upscale: Pipeline, mode: str) -> None:
        color = (255, 0, 0, 0) if mode == "RGBA" else (90, 0)

        result = run(upscale, encoded(Image.new(mode, (48, 40), color), "PNG"), scale=2)

        json.dumps(result.info, allow_nan=False)
        assert opened(result.image).getchannel("A").getextrema() == (0, 0)


class TestAPictureOfOneValue:
    @pytest.mark.parametrize("values", [np.full((40, 48), -5, np.float32), np.full((40, 48), 70_000, np.int32)])
    def test_is_one_gray(self, values: np.ndarray) -> None:
        picture = decode(encoded(Image.fromarray(values), "TIFF"))

        assert len(np.unique(picture.rgb)) == 1


class TestATinyPicture:
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_is_refused_with_a_sentence(self, operation: str, load: Callable[[str], Pipeline]) -> None:
        with pytest.raises(ImageTooSmall, match="40 x 31; a side must have 32 pixels"):
            run(load(operation), Image.new("RGB", (40, 31)))

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (5, 31)], ids=str)
    @pytest.mark.parametrize("mode", ["RGB", "LA"])
    def test_is_no_trouble_for_an_engine_where_it_is_let_in(
        self, operation: str, size: tuple[int, int], mode: str, load: Callable[[str], Pipeline]
    ) -> None:
        pipeline = replace(load(operation), limits=Limits(smallest_side=1))
        noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8)

        result = run(pipeline, Image.fromarray(noise, mode))

        factor = 4 if operation == "upscale" else 1
        assert opened(result.image).size == (size[0] * factor, size[1] * factor)
