"""What lies under transparent pixels, and must reach nothing that is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from triton_models.images import Picture

    Floats = NDArray[np.float32]

# How far colours are spread: engines that look no further need no more overlap than this.
REACH = 11


def opaque_pixels(picture: Picture, where: tuple[slice, slice]) -> Floats:
    """Return a part of the picture as float32, 0 to 1, with the colours of what is seen also where nothing is."""
    pixels = picture.rgb[where].astype(np.float32) / 255
    if picture.alpha is None:
        return pixels
    return spread_colors(pixels, picture.alpha[where].astype(np.float32) / 255)


def spread_colors(pixels: Floats, alpha: Floats) -> Floats:
    """
    Give transparent pixels the colour of the opaque ones around them.

    What lies under full transparency is arbitrary, mostly black, and would be drawn into the edge as a dark rim.
    pixels: float32 (height, width, 3); alpha: float32 (height, width); both 0 to 1.
    """
    result, missing = pixels, alpha <= 0.0
    for radius in (1, 3, 7):
        size = (2 * radius + 1,) * 2
        weight = cv2.blur(alpha, size)[..., None]
        near = cv2.blur(pixels * alpha[..., None], size) / np.maximum(weight, 1e-6)
        usable = missing & (weight[..., 0] > 1e-4)
        result = np.where(usable[..., None], near, result)
        missing = missing & ~usable
    return np.asarray(result, np.float32)
