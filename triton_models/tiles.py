"""Work on a large picture piece by piece: memory stays at the output plus one tile, and the seams do not show."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Span:
    """Along one axis, in pixels: the part to fill [start, end), and the part to look at, wider by the overlap."""

    start: int
    end: int
    outer_start: int
    outer_end: int

    def outer(self) -> slice:
        return slice(self.outer_start, self.outer_end)

    def inner(self, factor: int = 1) -> slice:
        """Return the place of the part to fill in an output enlarged by factor."""
        return slice(self.start * factor, self.end * factor)

    def inner_of_outer(self, factor: int = 1) -> slice:
        """Return the place of the part to fill inside the enlarged part that was looked at."""
        return slice((self.start - self.outer_start) * factor, (self.end - self.outer_start) * factor)


@dataclass(frozen=True)
class Tile:
    rows: Span
    columns: Span

    def outer(self) -> tuple[slice, slice]:
        return self.rows.outer(), self.columns.outer()

    def inner(self, factor: int = 1) -> tuple[slice, slice]:
        return self.rows.inner(factor), self.columns.inner(factor)

    def inner_of_outer(self, factor: int = 1) -> tuple[slice, slice]:
        return self.rows.inner_of_outer(factor), self.columns.inner_of_outer(factor)


def spans(length: int, *, size: int, overlap: int) -> list[Span]:
    """Cut a length into parts of nearly equal size, at most `size`; each looks `overlap` further on both sides."""
    count = -(-length // size)
    edges = [length * index // count for index in range(count + 1)]
    return [Span(start, end, max(0, start - overlap), min(length, end + overlap)) for start, end in pairwise(edges)]


def windows(length: int, *, largest: int, overlap: int, step: int = 1) -> list[Span]:
    """
    Cut a length into as few parts as can be that all look at equally many pixels, at most `largest`.

    Each looks `overlap` or further on either side, except over an end. How many they look at is a multiple of `step`,
    of which `largest` is one too; a single part may look beyond the end, where there is nothing until it is padded.
    """
    count = max(1, -(-(length - 2 * overlap) // (largest - 2 * overlap))) if length > largest else 1
    seen = -(-(length + 2 * overlap * (count - 1)) // count)
    seen = -(-seen // step) * step
    if count == 1:
        return [Span(0, length, 0, seen)]
    starts = [index * (length - seen) // (count - 1) for index in range(count)]
    # Half way between the end of one and the beginning of the next.
    edges = [0, *((one + seen + other) // 2 for one, other in pairwise(starts)), length]
    return [Span(*inner, start, start + seen) for inner, start in zip(pairwise(edges), starts, strict=True)]


def equal_tiles(height: int, width: int, *, largest: int, overlap: int, step: int = 1) -> list[Tile]:
    """Return tiles that all look at the same shape, row by row; see windows()."""
    rows = windows(height, largest=largest, overlap=overlap, step=step)
    columns = windows(width, largest=largest, overlap=overlap, step=step)
    return [Tile(row, column) for row in rows for column in columns]


def tiles(height: int, width: int, *, size: int, overlap: int) -> Iterator[Tile]:
    """Yield the tiles of a picture, row by row."""
    for rows in spans(height, size=size, overlap=overlap):
        for columns in spans(width, size=size, overlap=overlap):
            yield Tile(rows, columns)
