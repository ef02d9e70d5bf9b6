"""Pictures that are right, and that almost nobody sends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from triton_models.images import decode
from triton_models.tests.pictures import encoded, opened, run

if TYPE_CHECKING:
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
