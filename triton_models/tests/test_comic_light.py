from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from triton_models.engines.comic_light import LightInker, draw, ink_of
from triton_models.images import Picture
from triton_models.parameters import Parameters
from triton_models.progress import Watch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

UNHEARD = Watch(lambda _fraction, _preview: None, lambda: False)


def ink(pixels: NDArray[np.uint8], *, line_weight: float = 0.5) -> np.ndarray:
    response = draw(Picture(pixels), line_weight, 0.5, UNHEARD).response
    return ink_of(response.rows(0, len(pixels)))


def comic(pixels: NDArray[np.uint8], **parameters: float) -> np.ndarray:
    return LightInker().run(Picture(pixels), Parameters(strength=1.0, **parameters), UNHEARD).picture.rgb


@pytest.fixture(scope="module")
def cat(photographs: dict[str, Image.Image]) -> NDArray[np.uint8]:
    return np.asarray(photographs["chelsea"])


class TestInk:
    def test_runs_along_an_edge_and_leaves_a_noisy_sky_clean(self) -> None:
        scene = np.full((200, 300, 3), 190.0)
        scene[120:] = 110
        scene += np.random.default_rng(0).normal(0, 4, scene.shape)

        drawn = ink(scene.clip(0, 255).astype(np.uint8))

        assert drawn[116:126].max(axis=0).min() > 0.8
        assert drawn[:110].max() < 0.05
        assert drawn[130:].max() < 0.05

    def test_is_more_where_lines_are_heavier(self, cat: NDArray[np.uint8]) -> None:
        fine, middle, heavy = (float(ink(cat, line_weight=weight).mean()) for weight in (0.0, 0.5, 1.0))

        assert 0.01 < fine < middle < heavy < 0.4

    def test_does_not_drown_a_dark_picture(self, cat: NDArray[np.uint8]) -> None:
        night = (cat * 0.3).astype(np.uint8)

        assert float((ink(night) > 0.5).mean()) < 0.25

    def test_is_as_wide_in_a_large_picture_as_in_a_small_one(self, cat: NDArray[np.uint8]) -> None:
        large = cv2.resize(cat, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)

        seen = cv2.resize(ink(large), cat.shape[1::-1], interpolation=cv2.INTER_AREA)

        assert float(seen.mean()) == pytest.approx(float(ink(cat).mean()), rel=0.35)
        assert float(np.corrcoef(seen.ravel(), ink(cat).ravel())[0, 1]) > 0.7


class TestColors:
    def test_are_fewer_the_flatter_they_are(self, cat: NDArray[np.uint8]) -> None:
        def roughness(flatness: float) -> float:
            light = cv2.cvtColor(comic(cat, flatness=flatness, line_weight=0.0), cv2.COLOR_RGB2LAB)[..., 0]
            return float((np.abs(np.diff(light.astype(int), axis=1)) > 1).mean())

        assert roughness(1.0) < 0.8 * roughness(0.0)

    def test_are_livelier_than_the_photographs(self, cat: NDArray[np.uint8]) -> None:
        made, truth = (
            cv2.cvtColor(each, cv2.COLOR_RGB2HSV)[..., 1].mean() for each in (comic(cat, line_weight=0.0), cat)
        )

        assert made > 1.1 * truth
