from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_models.canvas import Canvas
from triton_models.diffusion.noise import NoiseField
from triton_models.diffusion.quilt import Quilt, patches, starts
from triton_models.images import Picture

if TYPE_CHECKING:
    from PIL import Image


class TestTiles:
    @given(st.integers(1, 3000), st.sampled_from([(128, 32), (16, 4), (64, 0)]))
    def test_are_equal_and_cover_all_with_the_overlap_they_need(self, length: int, plan: tuple[int, int]) -> None:
        size, overlap = plan

        found = starts(length, size=size, overlap=overlap)

        assert found[0] == 0
        assert found[-1] == max(0, length - size)
        assert all(0 < later - earlier <= size - overlap for earlier, later in pairwise(found))


class TestAQuilt:
    @pytest.mark.parametrize(("size", "factor"), [((300, 210), 2), ((40, 40), 4), ((500, 33), 1), ((33, 300), 2)])
    def test_shows_no_seam_between_tiles_that_agree(
        self, astronaut: Image.Image, size: tuple[int, int], factor: int
    ) -> None:
        picture = Picture(np.asarray(astronaut.resize(size)))
        large = np.asarray(astronaut.resize((size[0] * factor, size[1] * factor)))
        quilt = Quilt(Canvas.over(picture, factor), factor, overlap=16)

        for patch in patches(picture.height, picture.width, size=64, overlap=16):
            place = (slice(start * factor, (start + 64) * factor) for start in (patch.top, patch.left))
            quilt.sew(patch, large[tuple(place)].astype(np.float32) / 255)
        quilt.finish()

        assert np.array_equal(quilt.canvas.rgb, large)

    def test_fades_tiles_that_disagree_into_each_other(self) -> None:
        quilt = Quilt(Canvas.over(Picture(np.zeros((64, 112, 3), np.uint8))), 1, overlap=16)

        for number, patch in enumerate(patches(64, 112, size=64, overlap=16)):
            quilt.sew(patch, np.full((64, 64, 3), number * 0.5, np.float32))
        quilt.finish()

        row = quilt.canvas.rgb[32, :, 0].astype(int)
        assert (row[0], row[-1]) == (0, 128)
        assert 0 < np.diff(row).max() < 15

    def test_keeps_no_more_than_a_row_of_tiles(self) -> None:
        quilt = Quilt(Canvas.over(Picture(np.zeros((400, 50, 3), np.uint8)), 2), 2, overlap=8)

        for patch in patches(400, 50, size=32, overlap=8):
            quilt.sew(patch, np.zeros((64, 64, 3), np.float32))
            assert len(quilt._sum) <= 64


class TestANoiseField:
    def test_is_the_same_wherever_it_is_cut(self) -> None:
        field = NoiseField(5, 3)
        whole = field.part(0, 0, 200, 300)

        assert np.array_equal(field.part(70, 50, 64, 130), whole[:, 70:134, 50:180])

    def test_is_normal_noise_that_does_not_repeat(self) -> None:
        whole = NoiseField(5, 1).part(0, 0, 256, 256)[0]

        assert abs(whole.mean()) < 0.02
        assert abs(whole.std() - 1) < 0.02
        assert abs(np.corrcoef(whole[:64, :64].ravel(), whole[64:128, :64].ravel())[0, 1]) < 0.05

    def test_is_another_for_another_seed(self) -> None:
        assert not np.array_equal(NoiseField(5, 1).part(0, 0, 8, 8), NoiseField(6, 1).part(0, 0, 8, 8))

    def test_makes_overlapping_tiles_agree(self) -> None:
        field = NoiseField(2**63 - 1, 4)
        left, right = (field.part(0, start, 32, 32) for start in (0, 24))

        assert np.array_equal(left[:, :, 24:], right[:, :, :8])
