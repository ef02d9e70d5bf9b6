"""What is not fit to hand out, and colours that moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from triton_models import quality
from triton_models.errors import QualityGate

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


@pytest.fixture
def photo(astronaut: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(astronaut)


def enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(pixels, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))


class TestAnswersThatAreNotFinite:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("kind", [np.float16, np.float32])
    def test_are_refused_for_a_single_value(self, value: float, kind: type) -> None:
        answer = np.ones((1, 3, 16, 16), kind)
        answer[0, 2, 7, 7] = value

        with pytest.raises(QualityGate, match="not finite"):
            quality.require_finite(answer)

    def test_are_not_those_whose_sum_is_large(self) -> None:
        quality.require_finite(np.full((64, 64), 65504, np.float16))
        quality.require_finite(np.full((64, 64), np.finfo(np.float32).max, np.float32))


class TestOneColor:
    @pytest.mark.parametrize("value", [np.uint8(128), np.float32(0.5)])
    def test_made_of_many_is_refused(self, photo: NDArray[np.uint8], value: np.generic) -> None:
        with pytest.raises(QualityGate, match="single colour"):
            quality.require_not_flat(np.full(photo.shape, value), photo)

    def test_made_of_one_is_taken(self) -> None:
        quality.require_not_flat(np.full((256, 256, 3), 130, np.uint8), np.full((64, 64, 3), 128, np.uint8))

    def test_with_faint_detail_is_taken(self, photo: NDArray[np.uint8]) -> None:
        quality.require_not_flat(photo // 16 + 100, photo)


class TestBlack:
    def test_is_refused_even_of_a_plain_picture_and_with_specks_in_it(self) -> None:
        black = np.zeros((64, 64, 3), np.uint8)
        black[0, 0] = 255

        with pytest.raises(QualityGate, match="black although the image is not"):
            quality.require_not_flat(black, np.full((64, 64, 3), 90, np.uint8))

    def test_is_taken_of_a_black_picture(self) -> None:
        night = np.full((64, 64, 3), 4, np.uint8)

        quality.require_not_flat(np.zeros((256, 256, 3), np.uint8), night)


class TestColorShift:
    def test_is_nothing_where_only_the_size_changed(self, photo: NDArray[np.uint8]) -> None:
        shift = quality.color_shift(enlarged(photo), photo)

        assert shift.mean < 0.3
        assert shift.worst < 1.5

    def test_is_told_in_levels(self) -> None:
        source = np.full((128, 96, 3), 100, np.uint8)
        made = source.copy()
        made[:64] += 8

        shift = quality.color_shift(made, source)

        assert shift.mean == pytest.approx(4, abs=0.05)
        assert shift.worst == pytest.approx(8, abs=0.05)
        assert shift.described() == {"color_shift_mean": 4.0, "color_shift_worst": 8.0}

    def test_of_floats_is_told_in_the_same_levels(self, photo: NDArray[np.uint8]) -> None:
        tinted = (photo * np.array([0.9, 1.0, 1.0])).astype(np.uint8)

        whole = quality.color_shift(tinted, photo)
        floats = quality.color_shift(tinted / np.float32(255), photo / np.float32(255))

        assert floats.mean == pytest.approx(whole.mean, abs=0.1)
        assert whole.mean > 2


class TestMatching:
    def test_takes_a_tint_back_and_leaves_detail(self, photo: NDArray[np.uint8]) -> None:
        faithful = enlarged(photo // 2 + 60)
        tinted = (faithful + np.array([12, -8, 5])).astype(np.uint8)

        matched = quality.match_low_band(tinted, photo // 2 + 60)

        assert quality.color_shift(tinted, photo // 2 + 60).worst > 10
        assert quality.color_shift(matched, photo // 2 + 60).worst < 1.5
        assert np.abs(matched.astype(int) - faithful).max() <= 2

    def test_takes_a_gradient_back(self, photo: NDArray[np.uint8]) -> None:
        source = photo // 2 + 60
        slope = np.linspace(-10, 10, source.shape[0])[:, None, None]
        tilted = (source + slope).astype(np.uint8)

        matched = quality.match_low_band(tilted, source)

        assert quality.color_shift(tilted, source).mean > 4
        assert quality.color_shift(matched, source).mean < 0.5

    def test_keeps_shape_type_and_range(self, photo: NDArray[np.uint8]) -> None:
        bright = photo.astype(np.float32) / 255 * 0.5 + 0.5

        matched = quality.match_low_band(bright, np.full_like(photo, 255))

        assert matched.dtype == np.float32
        assert matched.shape == photo.shape
        assert matched.max() <= 1.0
        assert matched is not bright

    @pytest.mark.parametrize("size", [(1, 1), (1, 400), (33, 20)])
    def test_works_for_any_size(self, size: tuple[int, int]) -> None:
        source = np.full((*size, 3), 90, np.uint8)

        assert np.array_equal(quality.match_low_band(source + np.uint8(7), source), source)


class TestASecondTry:
    def test_is_not_made_after_a_good_first(self) -> None:
        def never() -> str:
            raise AssertionError

        assert quality.second_try(lambda: "good", never) == ("good", False)

    def test_makes_good_what_was_below_the_gate(self, caplog: pytest.LogCaptureFixture) -> None:
        def black() -> str:
            raise QualityGate("The result is black.")

        assert quality.second_try(black, lambda: "good") == ("good", True)
        assert "The result is black." in caplog.text

    def test_is_the_last(self) -> None:
        def black() -> str:
            raise QualityGate("The result is black.")

        with pytest.raises(QualityGate):
            quality.second_try(black, black)

    def test_is_not_for_other_failures(self) -> None:
        def broken() -> str:
            raise KeyError("weight")

        with pytest.raises(KeyError):
            quality.second_try(broken, lambda: "good")
