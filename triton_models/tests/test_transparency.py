from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from triton_models.transparency import spread_colors

if TYPE_CHECKING:
    from PIL import Image


class TestSpreadColors:
    def test_fills_transparent_pixels_from_their_neighbours(self) -> None:
        colors, alpha = np.zeros((32, 32, 3), np.float32), np.zeros((32, 32), np.float32)
        colors[:, :16], alpha[:, :16] = (1.0, 0.5, 0.0), 1.0

        filled = spread_colors(colors, alpha)

        assert np.allclose(filled[:, :20], (1.0, 0.5, 0.0), atol=1e-3)

    def test_leaves_opaque_pixels_alone(self, small_photo: Image.Image) -> None:
        colors = np.asarray(small_photo, np.float32) / 255

        assert (spread_colors(colors, np.ones(colors.shape[:2], np.float32)) == colors).all()
