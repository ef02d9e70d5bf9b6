"""
Whether what an engine made is fit to hand out: finite, as large as promised, neither one colour nor black.

Arrays of pixels are (height, width, 3) in sRGB: uint8 from 0 to 255, or float from 0 to 1. Differences are told in
levels of 255 whatever the array holds. Nothing here knows an engine or torch.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np

from triton_models.errors import QualityGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# In levels of 255: less spread than this is one colour to the eye; an input with more must not come out with less.
_FLAT_OUTPUT, _VARIED_INPUT = 0.5, 2.0
# In levels of 255: half-precision networks that overflow hand out black, now and then with a speck in it.
_BLACK_OUTPUT, _LIT_INPUT = 1.0, 8.0
# Colours are compared over a grid of so many cells along the longer side: coarse enough to know nothing of detail.
_CELLS = 32
_STRIP_ROWS = 256

_Kind = TypeVar("_Kind", bound=np.generic)
_Made = TypeVar("_Made")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ColorShift:
    """How far the colours moved, detail apart, in levels of 255: on average over all cells, and in the worst."""

    mean: float
    worst: float

    def described(self) -> dict[str, object]:
        """Return the figures as they stand among a result's checks, as JSON values."""
        return {"color_shift_mean": round(self.mean, 2), "color_shift_worst": round(self.worst, 2)}


def require_finite(values: NDArray[Any]) -> None:
    """Raise QualityGate when a network's answer, of any shape, has values that are not finite."""
    # One number tells of all: a sum is finite only if its parts are, and it needs no array of its own.
    if not np.isfinite(values.sum(dtype=np.float64)):
        raise QualityGate("The network's answer has values that are not finite.")


def require_size(made: NDArray[Any], size: tuple[int, int]) -> None:
    """Raise QualityGate when pixels have not the promised (width, height)."""
    height, width = made.shape[:2]
    if (width, height) != size:
        raise QualityGate(f"The result is {width} x {height} instead of {size[0]} x {size[1]}.")


def require_not_flat(made: NDArray[Any], source: NDArray[Any]) -> None:
    """Raise QualityGate when the result is a single colour, or black, although its source is not."""
    thin, thin_source = _thinned(made), _thinned(source)
    if _spread(thin_source) > _VARIED_INPUT and _spread(thin) < _FLAT_OUTPUT:
        raise QualityGate("The result is a single colour although the image is not; nothing was kept.")
    if thin_source.mean() > _LIT_INPUT and thin.mean() < _BLACK_OUTPUT:
        raise QualityGate("The result is black although the image is not; nothing was kept.")


def color_shift(made: NDArray[Any], source: NDArray[Any]) -> ColorShift:
    """Measure how far the colours of the result are from its source's, which may be of another size."""
    missing = np.abs(_missing(made, source))
    return ColorShift(float(missing.mean()), float(missing.max()))


def match_low_band(made: NDArray[_Kind], source: NDArray[Any]) -> NDArray[_Kind]:
    """
    Return the result with the colours of its source: what they differ by over large areas is taken back.

    source: of any size, of the same picture. Returns made's shape and type, a new array; detail finer than a cell
    (a thirty-second of the longer side) stays as it was made.
    """
    height, width = made.shape[:2]
    whole = np.issubdtype(made.dtype, np.integer)
    top, unit = (255.0, 1.0) if whole else (1.0, 1 / 255)
    cells = _missing(made, source) * np.float32(unit)
    wide = np.asarray(cv2.resize(cells, (width, cells.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
    matched = np.empty_like(made)
    # In strips: the correction of a whole large picture would be four times its size.
    for start in range(0, height, _STRIP_ROWS):
        strip = slice(start, min(start + _STRIP_ROWS, height))
        corrected = (made[strip].astype(np.float32) + _rows(wide, strip, height)).clip(0.0, top)
        matched[strip] = np.rint(corrected) if whole else corrected
    return matched


def second_try(first: Callable[[], _Made], again: Callable[[], _Made]) -> tuple[_Made, bool]:
    """
    Return what the first try made or, when that is below the gate, what the second made; and whether it was needed.

    again: the same in fp32 and smaller tiles. Raises QualityGate when the second try is below the gate as well. An
    engine says of it in its checks: `second_try: true`.
    """
    try:
        return first(), False
    except QualityGate as error:
        _log.warning("a result was below the quality gate and is made once more: %s", error)
    return again(), True


def _thinned(pixels: NDArray[Any]) -> NDArray[np.float32]:
    # Every fourth pixel in both directions tells as much, in a sixteenth of the time and memory.
    return _levels(pixels[::4, ::4])


def _spread(levels: NDArray[np.float32]) -> float:
    return float(levels.std(axis=(0, 1)).max())


def _levels(pixels: NDArray[Any]) -> NDArray[np.float32]:
    return pixels.astype(np.float32) * np.float32(1 if np.issubdtype(pixels.dtype, np.integer) else 255)


def _missing(made: NDArray[Any], source: NDArray[Any]) -> NDArray[np.float32]:
    """Return source minus made, in levels of 255, over a grid of cells."""
    height, width = source.shape[:2]
    longer = max(width, height)
    cells = (max(1, round(_CELLS * width / longer)), max(1, round(_CELLS * height / longer)))
    return _averaged(source, cells) - _averaged(made, cells)


def _averaged(pixels: NDArray[Any], cells: tuple[int, int]) -> NDArray[np.float32]:
    # Averaging bytes rounds to whole levels, so they are halved to a size first that floats are cheap for.
    height, width = pixels.shape[:2]
    near = (min(width, 8 * cells[0]), min(height, 8 * cells[1]))
    reduced = cv2.resize(pixels, near, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(_levels(reduced), cells, interpolation=cv2.INTER_AREA), np.float32)


def _rows(wide: NDArray[np.float32], strip: slice, height: int) -> NDArray[np.float32]:
    """Return rows of the grid enlarged to the height, linearly between the middles of its cells."""
    places = (np.arange(strip.start, strip.stop) + 0.5) * len(wide) / height - 0.5
    places = places.clip(0, len(wide) - 1)
    above = places.astype(int)
    below = np.minimum(above + 1, len(wide) - 1)
    share = (places - above).astype(np.float32)[:, None, None]
    return np.asarray(wide[above] * (1 - share) + wide[below] * share, np.float32)
