from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from triton_models.damage import Blocks, blocks, noise, without_blocks
from triton_models.tests.pictures import encoded, opened

if TYPE_CHECKING:
    from PIL import Image

PHOTOGRAPHS = ["astronaut", "coffee", "chelsea"]


def light(image: Image.Image) -> np.ndarray:
    return cv2.cvtColor(np.asarray(image.convert("RGB"), np.float32) / 255, cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
class TestNoise:
    @pytest.mark.parametrize("level", [5, 15])
    def test_is_told_from_texture(self, name: str, level: float, photographs: dict[str, Image.Image]) -> None:
        plane = light(photographs[name])
        noisy = plane + np.random.default_rng(0).normal(0, level / 255, plane.shape).astype(np.float32)

        assert noise(noisy.clip(0, 1)) * 255 == pytest.approx(level, rel=0.2)

    def test_of_a_clean_photograph_is_next_to_none(self, name: str, photographs: dict[str, Image.Image]) -> None:
        assert noise(light(photographs[name])) * 255 < 1.5


@pytest.mark.parametrize("name", PHOTOGRAPHS)
class TestBlocks:
    def test_are_found_wherever_a_crop_has_moved_them(self, name: str, photographs: dict[str, Image.Image]) -> None:
        compressed = opened(encoded(photographs[name], "JPEG", quality=20))

        found = blocks(light(compressed)[3:, 5:])

        assert (found.row, found.column) == (5, 3)
        assert found.step * 255 > 1

    def test_of_a_clean_photograph_are_none(self, name: str, photographs: dict[str, Image.Image]) -> None:
        assert blocks(light(photographs[name])).step == 0

    def test_are_smoothed_and_nothing_else_is(self, name: str, photographs: dict[str, Image.Image]) -> None:
        truth = light(photographs[name])
        spoilt = light(opened(encoded(photographs[name], "JPEG", quality=20)))

        smooth = without_blocks(spoilt, blocks(spoilt), top=0)

        assert ((smooth - truth) ** 2).mean() < 0.99 * ((spoilt - truth) ** 2).mean()
        assert (smooth[3:5] == spoilt[3:5])[:, 3:5].all()


class TestASharpEdgeOnTheGrid:
    def test_is_no_block(self) -> None:
        edge = np.repeat(np.array([[0.2], [0.8]], np.float32), 8, axis=0).repeat(32, axis=1)

        assert (without_blocks(edge, Blocks(0.01), top=0) == edge).all()
