from __future__ import annotations

import numpy as np

from triton_models.cutout import confidence, edge_colors, guided_coefficients, warnings_of


class TestConfidence:
    def test_says_when_there_is_no_background(self) -> None:
        checks = confidence(np.ones((320, 320), np.float32))

        assert checks["full"] is True
        assert warnings_of(checks) == ["No background was found: nearly everything was kept."]


class TestGuidedCoefficients:
    def test_move_a_misplaced_edge_to_the_edge_of_the_picture(self) -> None:
        guide = np.zeros((64, 64, 3), np.float32)
        guide[:, 32:] = 1.0
        two_pixels_off = np.zeros((64, 64), np.float32)
        two_pixels_off[:, 34:] = 1.0

        slope, offset = guided_coefficients(guide, two_pixels_off, radius=6)

        alpha = (guide * slope).sum(axis=2) + offset
        assert alpha[:, 33].mean() > 0.6
        assert alpha[:, 31].mean() < 0.1


class TestEdgeColors:
    def test_separate_a_mixed_pixel_into_its_two_colours(self) -> None:
        alpha = np.tile(np.clip(np.linspace(-1, 2, 60), 0, 1).astype(np.float32), (60, 1))
        red, blue = np.array((1, 0, 0), np.float32), np.array((0, 0, 1), np.float32)
        mixed = (alpha[..., None] * red + (1 - alpha[..., None]) * blue).astype(np.float32)

        inside, outside = edge_colors(mixed, alpha)

        assert np.abs(inside[30, 20:40] - red).max() < 0.1
        assert np.abs(outside[30, 20:40] - blue).max() < 0.1
