"""
A large picture out of equal tiles that overlap and are faded into each other.

Equal, so that tiles of all pictures can share a pass; a tile at the edge reaches further back instead of being smaller.
Only the rows that are not finished are kept as floats: memory is the output and one row of tiles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from triton_models.canvas import Canvas

    Floats = NDArray[np.float32]


def starts(length: int, *, size: int, overlap: int) -> list[int]:
    """Return where tiles of `size` begin that cover a length and overlap by `overlap` or more; one if it is shorter."""
    if length <= size:
        return [0]
    count = -(-(length - overlap) // (size - overlap))
    return [(length - size) * number // (count - 1) for number in range(count)]


@dataclass(frozen=True)
class Patch:
    """The place of a tile: its first row and column in the picture it is cut from."""

    top: int
    left: int


def patches(height: int, width: int, *, size: int, overlap: int) -> Iterator[Patch]:
    """Yield the places of a picture's tiles, row by row."""
    for top in starts(height, size=size, overlap=overlap):
        for left in starts(width, size=size, overlap=overlap):
            yield Patch(top, left)


@dataclass
class Quilt:
    """
    Sews finished tiles onto a canvas, in the order of patches().

    factor: how much larger the canvas is than the picture the tiles were cut from. overlap: over how many of that
    picture's pixels a tile fades in and out.
    """

    canvas: Canvas
    factor: int
    overlap: int
    _top: int = 0
    _sum: Floats = field(default_factory=lambda: np.empty((0, 0, 3), np.float32))
    _weight: Floats = field(default_factory=lambda: np.empty((0, 0, 1), np.float32))

    def sew(self, patch: Patch, pixels: Floats) -> None:
        """Put a tile in its place: float32 (size * factor, size * factor, 3), 0 to 1; what juts out is cut off."""
        height, width = self.canvas.rgb.shape[:2]
        top, left = patch.top * self.factor, patch.left * self.factor
        pixels = pixels[: height - top, : width - left]
        if top > self._top:
            self._finish(top)
        self._make_room(pixels.shape[0], width)
        fade = self._fade(pixels.shape[0])[:, None, None] * self._fade(pixels.shape[1])[None, :, None]
        place = slice(0, pixels.shape[0]), slice(left, left + pixels.shape[1])
        self._sum[place] += fade * pixels
        self._weight[place] += fade

    def finish(self) -> None:
        """Put what is left on the canvas."""
        self._finish(self.canvas.rgb.shape[0])

    def _finish(self, bottom: int) -> None:
        """Put the rows above `bottom` on the canvas: no tile to come reaches them."""
        rows, width = bottom - self._top, self.canvas.rgb.shape[1]
        pixels = np.rint(self._sum[:rows] / self._weight[:rows] * 255).clip(0, 255).astype(np.uint8)
        self.canvas.fill(slice(self._top, bottom), slice(0, width), pixels)
        self._sum, self._weight, self._top = self._sum[rows:], self._weight[rows:], bottom

    def _make_room(self, rows: int, width: int) -> None:
        missing = rows - len(self._sum)
        if missing > 0:
            self._sum = np.concatenate([self._sum.reshape(-1, width, 3), np.zeros((missing, width, 3), np.float32)])
            self._weight = np.concatenate(
                [self._weight.reshape(-1, width, 1), np.zeros((missing, width, 1), np.float32)]
            )

    def _fade(self, length: int) -> Floats:
        """Return the weight of a tile along one side: 1 in the middle, falling over the overlap, never 0."""
        steps = np.arange(length, dtype=np.float32) + 1
        return np.minimum(np.minimum(steps, steps[::-1]) / (self.overlap * self.factor + 1), 1)
