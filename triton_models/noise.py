"""How noisy a picture is, and how much a JPEG encoder has spoilt it: measured where it is flat, in levels of 0 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# Immerkaer 1996, "Fast noise variance estimation": blind to edges and gradients.
_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
_BLOCK = 16
_FLATTEST_SHARE = 0.15
# The flattest of many blocks are flatter than the mean: measured on pure noise.
_BIAS = 1.07
_DARK, _BRIGHT = 0.03, 0.97
_JPEG_BLOCK = 8


def deviation(plane: Floats) -> float:
    """
    Return the standard deviation of the noise in a plane.

    Taken from the flattest blocks, since texture looks like noise; clipped ones apart, which have none.
    """
    rows, columns = (side // _BLOCK * _BLOCK for side in plane.shape)
    if not rows or not columns:
        return 0.0
    blocks = (rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
    filtered = cv2.filter2D(plane, -1, _KERNEL, borderType=cv2.BORDER_REFLECT_101)[:rows, :columns]
    spread = np.sqrt((filtered.reshape(blocks) ** 2).mean(axis=(1, 3)))
    mean = plane[:rows, :columns].reshape(blocks).mean(axis=(1, 3))
    told = spread[(mean > _DARK) & (mean < _BRIGHT)]
    return float(np.quantile(told, _FLATTEST_SHARE)) * _BIAS if told.size else 0.0


def blockiness(plane: Floats) -> float:
    """Return how much larger the steps between the blocks of a JPEG are than those inside them; 0 where no grid is."""
    return max(0.0, *(_grid_step(turned) for turned in (plane, plane.T)))


def _grid_step(plane: Floats) -> float:
    if plane.shape[1] < 4 * _JPEG_BLOCK:
        return 0.0
    steps = np.abs(np.diff(plane, axis=1))
    # The median of each column is deaf to the picture's own edges.
    columns = np.minimum(steps, 0.1).mean(axis=0)
    phases = np.array([columns[phase::_JPEG_BLOCK].mean() for phase in range(_JPEG_BLOCK)])
    rest = np.delete(phases, phases.argmax())
    return float(phases.max() - rest.mean() - 3 * rest.std())
