"""What every engine that enlarges does with a picture, whatever makes its new pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from triton_models.errors import QualityGate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from triton_models.images import Picture

# Far below anything an honest result has (25 and more), far above a black or scrambled one.
_LOWEST_PSNR_DB = 20.0


def has_no_color(picture: Picture) -> bool:
    """Whether it is gray, by its file or its pixels: a network treats the planes differently, and would tint it."""
    red, green, blue = picture.rgb[..., 0], picture.rgb[..., 1], picture.rgb[..., 2]
    return picture.gray or (np.array_equal(red, green) and np.array_equal(green, blue))


def enlarged(picture: Picture, rgb: NDArray[np.uint8]) -> Picture:
    """Return the picture with its new pixels, and with its transparency as large as they are (Lanczos)."""
    if picture.alpha is None:
        return replace(picture, rgb=rgb)
    size = (rgb.shape[1], rgb.shape[0])
    alpha = np.asarray(Image.fromarray(picture.alpha).resize(size, Image.Resampling.LANCZOS))
    return replace(picture, rgb=rgb, alpha=alpha)


def likeness(picture: Picture, rgb: NDArray[np.uint8], *, lowest_db: float = _LOWEST_PSNR_DB) -> dict[str, object]:
    """
    Return how like the picture the new pixels are when they are averaged down, as a check: reduced_psnr_db.

    Nothing is compared, and nothing returned, where nothing is to be seen. Raises QualityGate below the lowest.
    """
    if picture.alpha is not None and not picture.alpha.any():
        return {}
    psnr = _psnr_of_reduced(picture, rgb)
    if psnr < lowest_db:
        raise QualityGate(f"The enlarged picture does not look like the input ({psnr:.0f} dB); nothing was kept.")
    return {"reduced_psnr_db": round(psnr, 1)}


def _psnr_of_reduced(picture: Picture, rgb: NDArray[np.uint8]) -> float:
    # Under full transparency there is nothing to compare: the colours there were replaced on purpose.
    reduced = cv2.resize(rgb, (picture.width, picture.height), interpolation=cv2.INTER_AREA)
    shown = slice(None) if picture.alpha is None else picture.alpha > 0
    return float(cv2.PSNR(np.ascontiguousarray(reduced[shown]), np.ascontiguousarray(picture.rgb[shown])))
