"""
Values known on a coarse grid, read at any rows of a large picture.

What varies slowly (a vignette's stain, film grain, smoothed colours) is worked out once on a small copy; every strip of
the large picture then reads its own rows, and reads the same values however the picture is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from triton_models.transparency import spread_colors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from triton_models.images import Picture

    Floats = NDArray[np.float32]

# Keys' cubic (1981) with a = -0.5, as Pillow's BICUBIC: no blur, hardly any ringing.
_SHARPNESS = -0.5


@dataclass(frozen=True, eq=False)
class Field:
    """values: (rows, columns) or (rows, columns, channels), float32 or uint8, laid over height x width pixels."""

    values: NDArray[np.float32] | NDArray[np.uint8]
    height: int
    width: int

    @classmethod
    def over(cls, values: NDArray[np.float32] | NDArray[np.uint8], height: int, width: int) -> Field:
        """Lay values over a picture; along a side on which they are finer than its pixels they are averaged."""
        rows, columns = min(values.shape[0], height), min(values.shape[1], width)
        if (rows, columns) != values.shape[:2]:
            floats = values.astype(np.float32)
            values = np.asarray(cv2.resize(floats, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
        return cls(values, height, width)

    def rows(self, start: int, end: int) -> Floats:
        """Return the values at the pixels of rows start to end: float32 (end - start, width[, channels])."""
        height = self.values.shape[0]
        if height == self.height:
            return self._widened(self.values[start:end])
        at = (np.arange(start, end) + 0.5) * (height / self.height) - 0.5
        below = np.floor(at).astype(int)
        taps = (below[:, None] + np.arange(-1, 3)).clip(0, height - 1)
        weights = _cubic(at - below).reshape(4, end - start, *(1,) * (self.values.ndim - 1))
        first = int(taps.min())
        wide = self._widened(self.values[first : int(taps.max()) + 1])
        result = weights[0] * wide[taps[:, 0] - first]
        for tap in range(1, 4):
            result += weights[tap] * wide[taps[:, tap] - first]
        return np.asarray(result, np.float32)

    def _widened(self, values: NDArray[np.float32] | NDArray[np.uint8]) -> Floats:
        floats = values.astype(np.float32)
        if values.shape[1] == self.width:
            return floats
        return np.asarray(
            cv2.resize(floats, (self.width, values.shape[0]), interpolation=cv2.INTER_CUBIC).reshape(
                values.shape[0], self.width, *values.shape[2:]
            ),
            np.float32,
        )


def _cubic(fraction: NDArray[np.float64]) -> Floats:
    """Return the weights of the four neighbours of points that far behind their second one: (4, points)."""
    distances = np.abs(np.stack([fraction + 1, fraction, 1 - fraction, 2 - fraction]))
    a, near, far = _SHARPNESS, distances <= 1, distances < 2
    inner = (a + 2) * distances**3 - (a + 3) * distances**2 + 1
    outer = a * (distances**3 - 5 * distances**2 + 8 * distances - 4)
    return np.where(near, inner, np.where(far, outer, 0.0)).astype(np.float32)


def working_size(picture: Picture, pixels: int) -> tuple[int, int]:
    """Return (height, width) of a copy of the picture that has at most so many pixels; never larger than itself."""
    shrink = min(1.0, (pixels / (picture.height * picture.width)) ** 0.5)
    return max(1, round(picture.height * shrink)), max(1, round(picture.width * shrink))


def working_copy(picture: Picture, size: tuple[int, int]) -> Floats:
    """
    Return the picture at (height, width): float32 (height, width, 3), sRGB, 0 to 1.

    Transparent pixels count by their opacity, and where nothing is to be seen take the colours around it, so that what
    lies hidden there reaches nothing that is seen.
    """
    height, width = size
    if picture.alpha is None:
        small = cv2.resize(picture.rgb, (width, height), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32) / 255
    opacity = cv2.cvtColor(picture.alpha, cv2.COLOR_GRAY2RGB)
    seen = cv2.multiply(picture.rgb, opacity, scale=1 / 255)
    colors = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    alpha = cv2.resize(picture.alpha, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return spread_colors(colors / np.maximum(alpha, 1e-3)[..., None], alpha).clip(0.0, 1.0)
