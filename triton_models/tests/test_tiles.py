from __future__ import annotations

import numpy as np
import pytest

from triton_models.tiles import spans, tiles


class TestSpans:
    @pytest.mark.parametrize("length", [1, 255, 256, 257, 1000])
    def test_cover_the_length_once_and_in_order(self, length: int) -> None:
        cut = spans(length, size=256, overlap=32)

        covered = [position for span in cut for position in range(span.start, span.end)]
        assert covered == list(range(length))

    def test_are_of_nearly_equal_size(self) -> None:
        cut = spans(513, size=256, overlap=32)

        assert {span.end - span.start for span in cut} == {171}

    def test_look_further_on_both_sides_but_never_outside(self) -> None:
        cut = spans(600, size=200, overlap=32)

        assert [(span.outer_start, span.outer_end) for span in cut] == [(0, 232), (168, 432), (368, 600)]


class TestTiles:
    def test_put_together_what_was_cut_apart(self) -> None:
        picture = np.arange(70 * 50).reshape(70, 50)
        doubled = np.zeros((140, 100), int)

        for tile in tiles(70, 50, size=16, overlap=3):
            looked_at = picture[tile.outer()].repeat(2, axis=0).repeat(2, axis=1)
            doubled[tile.inner(2)] = looked_at[tile.inner_of_outer(2)]

        assert (doubled == picture.repeat(2, axis=0).repeat(2, axis=1)).all()
