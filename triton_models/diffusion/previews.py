"""
Small pictures of work in progress, straight from the latents: a matrix instead of the decoder's second of work.

A latent of four channels is nearly a linear picture of its 8 x 8 pixels. The factors for Stable Diffusion 1 and 2 are
Kevin Turner's (discuss.huggingface.co/t/23204), those for SDXL are Timothy Alexis Vass's
("Explaining the SDXL latent space", also in diffusers' manual on callbacks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from triton_models import images
from triton_models.images import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LatentColors:
    """factors: (4, 3), from a latent's channels to red, green and blue. offset: (3,). Both in sRGB of 0 to 1."""

    factors: Floats
    offset: Floats

    def pixels(self, latents: Floats) -> NDArray[np.uint8]:
        """Return uint8 (rows, columns, 3) of latents (4, rows, columns); what is not finite is black."""
        colors = np.nan_to_num(latents.transpose(1, 2, 0) @ self.factors + self.offset, posinf=1.0, neginf=0.0)
        return np.asarray((colors.clip(0, 1) * 255).round(), np.uint8)

    def preview(self, latents: Floats, picture: Picture) -> bytes:
        """Return a small JPEG of latents (4, rows, columns), in the shape and with the transparency of the picture."""
        shrink = min(1.0, images.PREVIEW_SIDE / max(picture.width, picture.height))
        size = (max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink)))
        rgb = np.asarray(cv2.resize(self.pixels(latents), size, interpolation=cv2.INTER_LINEAR), np.uint8)
        alpha = None if picture.alpha is None else cv2.resize(picture.alpha, size, interpolation=cv2.INTER_AREA)
        return images.preview(Picture(rgb, None if alpha is None else np.asarray(alpha, np.uint8)))


STABLE_DIFFUSION = LatentColors(
    np.array(
        [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]], np.float32
    )
    / 2,
    np.full(3, 0.5, np.float32),
)
SDXL = LatentColors(
    np.array([[60, 60, 60], [-60, -5, 10], [25, 15, -5], [-70, -50, -35]], np.float32) / 255,
    np.array([150, 140, 130], np.float32) / 255,
)
