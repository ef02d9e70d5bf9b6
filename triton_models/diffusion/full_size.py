"""
From the size a model works at back to the photograph's own, without losing what the photograph has beyond it.

A diffusion model sees a photograph of twelve megapixels at one, or a quarter. What it makes is enlarged, and the detail
that the photograph has above the working size is put back on it, as far as the model left alone what was there: by the
slope of a guided filter from the picture before to the picture after (He, Sun & Tang 2010, "Guided image filtering"; at
two sizes: Kopf et al. 2007, "Joint bilateral upsampling"), and by how well the two agree. Where the model kept an edge,
it is as sharp as in the photograph; where it drew something else, the photograph's texture does not shine through. A
model that changes nothing gives back the photograph.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from triton_models.canvas import Canvas
from triton_models.fields import Field, working_copy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from triton_models.images import Picture
    from triton_models.progress import Watch

    Floats = NDArray[np.float32]

# In working pixels. With 4, edges that moved by one are taken for the same: 0.6 dB worse than without any detail.
_RADIUS = 2
# Variance below which an area counts as flat: two levels of 255.
_FLAT = (2 / 255) ** 2


@dataclass(frozen=True)
class Finish:
    """
    How a model's picture becomes the result.

    keeps_colors: what it changed over large areas is taken back: right for a repair, wrong for a style. flat_detail: of
    the photograph's fine grain where the model has none, the share to keep: 1 for a photograph, 0 for flat paint.
    gives_color: a gray photograph may come back coloured.
    """

    keeps_colors: bool
    flat_detail: float
    gives_color: bool = False

    def marked(self, picture: Picture) -> Picture:
        """Return the picture, no longer marked gray if it may have been given colour."""
        return replace(picture, gray=False) if self.gives_color else picture


def to_working_size(picture: Picture, size: tuple[int, int]) -> Floats:
    """
    Return the picture stretched to (width, height): float32 (height, width, 3), sRGB, 0 to 1.

    What lies under transparent pixels takes the colours around it.
    """
    width, height = size
    # Averaged along the sides that shrink, enlarged along the others: one filter can do only one of both well.
    small = working_copy(picture, (min(height, picture.height), min(width, picture.width)))
    if small.shape[:2] == (height, width):
        return small
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1), np.float32)


def to_full_size(
    picture: Picture, before: Floats, after: Floats, *, strength: float, finish: Finish, watch: Watch
) -> Canvas:
    """
    Return the result at the picture's size, filled strip by strip.

    before, after: float32 (height, width, 3), sRGB, 0 to 1: what the model was given and what it made of it. strength:
    0 to 1, how far the model may replace the photograph's own detail.
    """
    shape = picture.height, picture.width
    given, made = _planes(before), _planes(after)
    kept = 1 - strength * (1 - _likeness(given, made, finish.flat_detail))
    fields = [Field.over(values, *shape) for values in (given, made, np.asarray(kept, np.float32))]
    canvas = Canvas.over(picture)
    colorless = picture.gray and not finish.gives_color
    for strip in canvas.strips(watch):
        low, high, share = (field.rows(strip.start, strip.end) for field in fields)
        own = _planes(picture.rgb[strip.inner()].astype(np.float32) / 255)
        pixels = _colors(high + share * (own - low))
        if colorless:
            pixels = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
        canvas.fill(strip.inner(), slice(0, picture.width), np.rint(pixels * 255).astype(np.uint8))
    return canvas


def _likeness(before: Floats, after: Floats, flat_detail: float) -> Floats:
    """
    Return how far `after` still shows what is in `before`, 0 to 1, for each pixel and plane.

    It is the slope of the guided filter, which tells how much of an edge is left, times the fourth power of the
    correlation, which tells whether it is still in its place: half a pixel off, the photograph's edge would be a ghost.
    """
    size = (2 * _RADIUS + 1,) * 2

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.blur(values, size, borderType=cv2.BORDER_REFLECT), np.float32)

    averages = mean(before), mean(after)
    variance = (mean(before * before) - averages[0] ** 2).clip(0) + _FLAT
    changed = (mean(after * after) - averages[1] ** 2).clip(0) + _FLAT
    covariance = mean(before * after) - averages[0] * averages[1]
    slope = ((covariance + flat_detail * _FLAT) / variance).clip(0, 1)
    squared = ((covariance + _FLAT).clip(0) ** 2 / (variance * changed)).clip(0, 1)
    return np.asarray(slope * squared**2, np.float32)


def _planes(pixels: Floats) -> Floats:
    # Light and colour apart: a sepia print keeps the photograph's edges, not its fringes of red and green.
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb), np.float32)


def _colors(planes: Floats) -> Floats:
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB).clip(0, 1), np.float32)
