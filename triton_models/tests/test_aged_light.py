from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from triton_models.engines.aged_light import LightAger
from triton_models.images import Picture
from triton_models.parameters import Parameters
from triton_models.progress import Watch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from triton_models.engines import Outcome

UNHEARD = Watch(lambda _fraction, _preview: None, lambda: False)


def age(pixels: NDArray[np.uint8], seed: int | None = 1, strength: float = 1.0) -> Outcome:
    return LightAger().run(Picture(pixels), Parameters(strength=strength, seed=seed), UNHEARD)


@pytest.fixture(scope="module")
def coffee(photographs: dict[str, Image.Image]) -> NDArray[np.uint8]:
    return np.asarray(photographs["coffee"])


class TestASeed:
    def test_gives_a_print_of_its_own(self, coffee: NDArray[np.uint8]) -> None:
        one, again, other = (age(coffee, seed).picture.rgb for seed in (1, 1, 2))

        assert (one == again).all()
        assert (one != other).mean() > 0.5

    def test_that_was_left_open_is_told_and_can_be_repeated(self, coffee: NDArray[np.uint8]) -> None:
        made = age(coffee, seed=None)

        seed = made.chosen["seed"]
        assert isinstance(seed, int)
        assert (age(coffee, seed).picture.rgb == made.picture.rgb).all()
        assert (age(coffee, seed=None).picture.rgb == made.picture.rgb).all()
        assert age(coffee[::-1].copy(), seed=None).chosen["seed"] != seed


class TestAPrint:
    def test_has_no_black_no_white_and_darker_corners(self) -> None:
        sheet = np.full((300, 300, 3), 128, np.uint8)
        sheet[100:140, 100:200], sheet[160:200, 100:200] = 0, 255

        made = age(sheet).picture.rgb.astype(float)

        black, white = made[105:135, 105:195].mean(axis=(0, 1)), made[165:195, 105:195].mean(axis=(0, 1))
        assert black.min() > 10
        assert white.max() < 252
        assert white[0] > white[2] + 20
        assert made[:30, :30].mean() < made[210:240, 135:165].mean() - 10

    def test_looks_the_same_at_every_size(self, coffee: NDArray[np.uint8]) -> None:
        large = cv2.resize(coffee, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)

        seen = cv2.resize(age(large).picture.rgb, coffee.shape[1::-1], interpolation=cv2.INTER_AREA)

        assert np.abs(seen.astype(int) - age(coffee).picture.rgb).mean() < 4

    def test_has_grain_that_is_not_of_single_pixels_where_there_are_many(self) -> None:
        made = age(np.full((1500, 2000, 3), 128, np.uint8)).picture.rgb[600:900, 800:1200, 1].astype(float)

        grain = made - cv2.GaussianBlur(made, (0, 0), 8)
        neighbours = float(np.corrcoef(grain[:, 1:].ravel(), grain[:, :-1].ravel())[0, 1])
        assert grain.std() > 3
        assert neighbours > 0.6
