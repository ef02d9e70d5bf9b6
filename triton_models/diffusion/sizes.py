"""
The sizes at which a diffusion model works: its native number of pixels, in the shape of the photograph.

Few shapes, as in the training of SDXL (Podell et al. 2023, arXiv:2307.01952, appendix I): photographs of nearly one
shape then have the very same working size, and what has the same size can share a pass. A photograph is stretched by a
few per cent to fit and stretched back afterwards, which cropping and padding could not undo.
"""

from __future__ import annotations

import math
from functools import cache

# Latents are 8 times smaller, and the networks halve those three times.
UNIT = 64
# Longer than this a model repeats itself; such a picture is squeezed.
LONGEST = 4.0


def working_size(width: int, height: int, side: int) -> tuple[int, int]:
    """
    Return the (width, height) to work at, multiples of 64, for a picture of that width and height.

    side: of the square that the model was trained on, in pixels, a multiple of 64.
    """

    def stretched(size: tuple[int, int]) -> tuple[float, int]:
        stretch = abs(math.log(size[0] / size[1] * height / width))
        return stretch, abs(size[0] * size[1] - side * side)

    return min(_shapes(side), key=stretched)


def smaller_side(side: int) -> int:
    """Return the side to try when there is no room for `side`, or when what it gave is no good: three quarters."""
    return max(UNIT, side * 3 // 4 // UNIT * UNIT)


def is_squeezed(width: int, height: int) -> bool:
    """Whether a picture is longer than any working size."""
    return max(width / height, height / width) > LONGEST


@cache
def _shapes(side: int) -> tuple[tuple[int, int], ...]:
    shapes = set()
    for height in range(UNIT, side + 1, UNIT):
        fewer = side * side // height // UNIT * UNIT
        for width in (fewer, fewer if fewer * height == side * side else fewer + UNIT):
            if height <= width <= LONGEST * height:
                shapes |= {(width, height), (height, width)}
    return tuple(sorted(shapes))
