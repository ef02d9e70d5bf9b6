from __future__ import annotations

import numpy as np
import pytest

from triton_models.tiles import equal_tiles, spans, tiles, windows


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


class TestWindows:
    LENGTHS = [1, 32, 95, 96, 97, 100, 128, 129, 200, 383, 1000, 20_000]

    @pytest.mark.parametrize("step", [1, 32])
    @pytest.mark.parametrize("length", LENGTHS)
    def test_cover_the_length_once_and_look_far_enough(self, length: int, step: int) -> None:
        cut = windows(length, largest=128, overlap=32, step=step)

        assert [0, *(window.end for window in cut)] == [*(window.start for window in cut), length]
        assert all(window.start - window.outer_start >= 32 for window in cut[1:])
        assert all(window.outer_end - window.end >= 32 for window in cut[:-1])

    @pytest.mark.parametrize("step", [1, 32])
    @pytest.mark.parametrize("length", LENGTHS)
    def test_all_look_at_equally_many_pixels_that_there_are(self, length: int, step: int) -> None:
        cut = windows(length, largest=128, overlap=32, step=step)

        (seen,) = {window.outer_end - window.outer_start for window in cut}
        assert seen <= 128
        assert seen % step == 0
        assert cut[-1].outer_end == (max(length, seen) if step > 1 else length)

    def test_are_no_larger_than_their_number_demands(self) -> None:
        assert [window.outer_end for window in windows(200, largest=192, overlap=32)] == [132, 200]

    def test_of_a_picture_put_together_what_was_cut_apart(self) -> None:
        picture, copy = np.arange(70 * 50).reshape(70, 50), np.zeros((70, 50), int)

        for tile in equal_tiles(70, 50, largest=24, overlap=3):
            copy[tile.inner()] = picture[tile.outer()][tile.inner_of_outer()]

        assert (copy == picture).all()


class TestTiles:
    def test_put_together_what_was_cut_apart(self) -> None:
        picture = np.arange(70 * 50).reshape(70, 50)
        doubled = np.zeros((140, 100), int)

        for tile in tiles(70, 50, size=16, overlap=3):
            looked_at = picture[tile.outer()].repeat(2, axis=0).repeat(2, axis=1)
            doubled[tile.inner(2)] = looked_at[tile.inner_of_outer(2)]

        assert (doubled == picture.repeat(2, axis=0).repeat(2, axis=1)).all()
