"""The result of an engine while it is being made: filled piece by piece, and to be looked at any time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from triton_models import images
from triton_models.tiles import Span, spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from triton_models.images import Picture
    from triton_models.progress import Watch

# About a quarter of a second of work for the slowest of the engines that go by strips.
_STRIP_PIXELS = 512 * 1024


@dataclass(frozen=True, eq=False)
class Canvas:
    """
    source: what it is made from. rgb: the result, uint8 (height, width, 3), not yet filled everywhere.

    small: the same at the size of a preview; where nothing is done yet, it shows the source.
    """

    source: Picture
    rgb: NDArray[np.uint8]
    small: NDArray[np.uint8]

    @classmethod
    def over(cls, source: Picture, scale: int = 1) -> Canvas:
        """Return an empty canvas for a result `scale` times as large as the source."""
        rgb = np.empty((source.height * scale, source.width * scale, 3), np.uint8)
        shrink = min(1.0, images.PREVIEW_SIDE / max(rgb.shape))
        size = (max(1, round(rgb.shape[1] * shrink)), max(1, round(rgb.shape[0] * shrink)))
        area = cv2.INTER_AREA if size[0] <= source.width else cv2.INTER_LINEAR
        return cls(source, rgb, np.asarray(cv2.resize(source.rgb, size, interpolation=area), np.uint8))

    def fill(self, rows: slice, columns: slice, pixels: NDArray[np.uint8]) -> None:
        """Put finished pixels in their place."""
        self.rgb[rows, columns] = pixels
        top, bottom = (round(edge * self.small.shape[0] / self.rgb.shape[0]) for edge in (rows.start, rows.stop))
        left, right = (round(edge * self.small.shape[1] / self.rgb.shape[1]) for edge in (columns.start, columns.stop))
        if bottom > top and right > left:
            size = (right - left, bottom - top)
            self.small[top:bottom, left:right] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)

    def strips(self, watch: Watch, *, overlap: int = 0) -> Iterator[Span]:
        """Yield strips of rows to fill, each looking `overlap` rows further, and report how far the filling is."""
        height, width = self.rgb.shape[:2]
        # In a wide picture a strip of few rows would be mostly overlap.
        plan = spans(height, size=max(8, 2 * overlap, _STRIP_PIXELS // width), overlap=overlap)
        for done, strip in enumerate(plan):
            watch.report(done / len(plan), self.preview)
            yield strip
        watch.report(1.0, self.preview)

    def preview(self) -> bytes:
        """Return a small JPEG of how it looks so far."""
        height, width = self.small.shape[:2]
        alpha = self.source.alpha
        if alpha is not None:
            alpha = np.asarray(cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        return images.preview(replace(self.source, rgb=self.small, alpha=alpha))

    def finished(self) -> Picture:
        """Return the result, with the transparency of its source."""
        return replace(self.source, rgb=self.rgb)
