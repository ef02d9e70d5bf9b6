"""
What spoils a photograph, measured where it is flat: noise, and the blocks of a JPEG. In levels of 0 to 1.

A clean photograph measures nothing of either, whatever texture it has; so it can be told that it needs no cleaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# Immerkaer 1996, "Fast noise variance estimation": blind to edges and gradients.
_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
_PATCH = 16
_FLATTEST_SHARE = 0.15
# The flattest of many patches are flatter than the mean: measured on pure noise.
_BIAS = 1.07
_DARK, _BRIGHT = 0.03, 0.97
BLOCK = 8
# What a boundary's step is shared out by: to the three pixels on each side, nearest first.
_RAMP = (0.42, 0.25, 0.10)


@dataclass(frozen=True)
class Blocks:
    """
    The grid that a JPEG left: how much larger the steps across its lines are, and where its first lines lie.

    step: 0 where there is no grid. row, column: of the first pixel behind a line, 0 to 7; a picture that was cropped
    or turned after it was compressed has them anywhere.
    """

    step: float
    row: int = 0
    column: int = 0


def noise(plane: Floats) -> float:
    """
    Return the standard deviation of the noise in a plane.

    Taken from the flattest patches, since texture looks like noise; clipped ones apart, which have none.
    """
    rows, columns = (side // _PATCH * _PATCH for side in plane.shape)
    if not rows or not columns:
        return 0.0
    patches = (rows // _PATCH, _PATCH, columns // _PATCH, _PATCH)
    filtered = cv2.filter2D(plane, -1, _KERNEL, borderType=cv2.BORDER_REFLECT_101)[:rows, :columns]
    spread = np.sqrt((filtered.reshape(patches) ** 2).mean(axis=(1, 3)))
    mean = plane[:rows, :columns].reshape(patches).mean(axis=(1, 3))
    told = spread[(mean > _DARK) & (mean < _BRIGHT)]
    return float(np.quantile(told, _FLATTEST_SHARE)) * _BIAS if told.size else 0.0


def blocks(plane: Floats) -> Blocks:
    """Find the grid of a JPEG in a plane."""
    down, row = _grid(plane.T)
    across, column = _grid(plane)
    return Blocks(max(0.0, min(down, across)), row, column)


def _grid(plane: Floats) -> tuple[float, int]:
    if plane.shape[1] < 4 * BLOCK:
        return 0.0, 0
    # The picture's own edges are larger than any block's, and cut off.
    steps = np.minimum(np.abs(np.diff(plane, axis=1)), 0.1).mean(axis=0)
    phases = np.array([steps[phase::BLOCK].mean() for phase in range(BLOCK)])
    rest = np.delete(phases, phases.argmax())
    return float(phases.max() - rest.mean() - 3 * rest.std()), (int(phases.argmax()) + 1) % BLOCK


def without_blocks(plane: Floats, grid: Blocks, *, top: int) -> Floats:
    """
    Smooth the lines of the grid where the picture on both sides of them is flat, as video decoders do.

    plane: float32 (height, width), rows `top` and following of the picture. Returns the same.
    """
    first = (grid.row - top) % BLOCK
    across = _smoothed(plane, grid.column, grid.step)
    return np.ascontiguousarray(_smoothed(across.T, first, grid.step).T)


def _smoothed(plane: Floats, first: int, step: float) -> Floats:
    lines = np.arange(first or BLOCK, plane.shape[1] - 2, BLOCK)
    lines = lines[lines > 2]
    before, behind = plane[:, lines - 1], plane[:, lines]
    rise = behind - before
    texture = np.maximum(np.abs(before - plane[:, lines - 2]), np.abs(plane[:, lines + 1] - behind))
    limit = 5 * step
    share = (1 - texture / (0.5 * limit)).clip(0, 1) * (2 - np.abs(rise) / limit).clip(0, 1)
    result = plane.copy()
    for distance, weight in enumerate(_RAMP):
        result[:, lines - 1 - distance] += weight * share * rise
        result[:, lines + distance] -= weight * share * rise
    return result
