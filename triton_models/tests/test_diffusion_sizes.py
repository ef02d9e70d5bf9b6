from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_models.diffusion.sizes import LONGEST, UNIT, is_squeezed, smaller_side, working_size

SIDES = (512, 768, 1024)


class TestAWorkingSize:
    @pytest.mark.parametrize("side", SIDES)
    def test_is_the_training_square_for_a_square(self, side: int) -> None:
        assert working_size(3000, 3000, side) == (side, side)

    @given(st.integers(32, 20_000), st.integers(32, 20_000), st.sampled_from(SIDES))
    def test_has_about_the_native_number_of_pixels_in_whole_units(self, width: int, height: int, side: int) -> None:
        found = working_size(width, height, side)

        assert all(length % UNIT == 0 for length in found)
        assert 0.85 * side * side < found[0] * found[1] < 1.15 * side * side

    @given(st.integers(32, 20_000), st.integers(32, 20_000), st.sampled_from(SIDES))
    def test_lies_as_the_photograph_lies(self, width: int, height: int, side: int) -> None:
        across, along = working_size(width, height, side)

        assert (across >= along) == (width >= height) or across == along
        assert working_size(height, width, side) == (along, across)

    @pytest.mark.parametrize("side", SIDES)
    @pytest.mark.parametrize("shape", [(4, 3), (3, 2), (16, 9), (5, 4)])
    def test_stretches_the_usual_shapes_by_less_than_an_eighth(self, side: int, shape: tuple[int, int]) -> None:
        width, height = working_size(1000 * shape[0], 1000 * shape[1], side)

        assert 8 / 9 < width / height * shape[1] / shape[0] < 9 / 8

    def test_is_the_same_for_photographs_of_nearly_one_shape(self) -> None:
        assert working_size(4032, 3024, 1024) == working_size(4000, 3000, 1024) == working_size(1600, 1205, 1024)

    def test_is_bounded_for_a_picture_that_is_a_line(self) -> None:
        assert working_size(20_000, 32, 512) == (1024, 256)
        assert is_squeezed(20_000, 32)
        assert not is_squeezed(4000, 1000)
        assert working_size(4000, 1000, 512) == (round(256 * LONGEST), 256)

    def test_shrinks_by_a_quarter_when_there_is_no_room(self) -> None:
        assert [smaller_side(side) for side in (*SIDES, 64)] == [384, 576, 768, 64]
