from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from triton_models.diffusion.full_size import Finish, to_full_size, to_working_size
from triton_models.diffusion.sizes import working_size
from triton_models.images import Picture
from triton_models.progress import Watch

REPAIR = Finish(keeps_colors=True, flat_detail=1.0)
PAINT = Finish(keeps_colors=False, flat_detail=0.0)


def watch() -> Watch:
    return Watch(lambda _fraction, _preview: None, lambda: False)


def finished(picture: Picture, before: np.ndarray, after: np.ndarray, strength: float, finish: Finish) -> np.ndarray:
    return to_full_size(picture, before, after, strength=strength, finish=finish, watch=watch()).rgb


def unchanged(picture: Picture, side: int, finish: Finish) -> np.ndarray:
    """Return what comes back from a model that changes nothing, at full strength."""
    before = to_working_size(picture, working_size(picture.width, picture.height, side))
    return finished(picture, before, before.copy(), 1.0, finish)


def worst(one: np.ndarray, other: np.ndarray, share: float = 100.0) -> float:
    return float(np.percentile(np.abs(one.astype(int) - other.astype(int)), share))


def waved(pixels: np.ndarray) -> np.ndarray:
    """Return the picture drawn a little beside itself, by up to four pixels: one at a quarter of the size."""
    down, along = np.indices(pixels.shape[:2], np.float32)
    across, up = along + 4 * np.sin(down / 36), down + 4 * np.cos(along / 36)
    return cv2.remap(pixels, across, up, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT).clip(0, 1)


def enlarged(small: np.ndarray, picture: Picture) -> np.ndarray:
    size = (picture.width, picture.height)
    return cv2.resize(small, size, interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(one.astype(np.float64) - other).mean()))


class TestAModelThatChangesNothing:
    @pytest.mark.parametrize("size", [(32, 32), (97, 61), (700, 500), (2000, 33), (33, 900)])
    def test_gives_back_the_photograph(self, astronaut: Image.Image, size: tuple[int, int]) -> None:
        picture = Picture(np.asarray(astronaut.resize(size)))

        assert worst(unchanged(picture, 128, REPAIR), picture.rgb) <= 1

    def test_gives_back_what_is_finer_than_it_can_see(self, astronaut: Image.Image) -> None:
        picture = Picture(np.asarray(astronaut))
        low = picture.rgb.copy()
        before = to_working_size(picture, (128, 128))
        blurred = cv2.resize(before, (512, 512), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255

        assert np.abs(blurred - low).mean() > 5
        assert worst(unchanged(picture, 128, REPAIR), picture.rgb) <= 1

    def test_gives_back_the_edges_when_it_paints(self, astronaut: Image.Image) -> None:
        picture = Picture(np.asarray(astronaut.resize((1500, 1200), Image.Resampling.BICUBIC)))

        assert worst(unchanged(picture, 512, PAINT), picture.rgb, 99.5) <= 2

    def test_gives_back_a_photograph_under_transparency_where_it_is_seen(self, astronaut: Image.Image) -> None:
        alpha = np.zeros((512, 512), np.uint8)
        alpha[100:400, 100:400] = 255
        picture = Picture(np.asarray(astronaut), alpha)

        made = unchanged(picture, 128, REPAIR)

        assert worst(made[alpha > 0], picture.rgb[alpha > 0]) <= 1


class TestTheWayBack:
    def test_puts_what_the_model_changed_on_the_photograph(self, astronaut: Image.Image) -> None:
        picture = Picture(np.asarray(astronaut))
        before = to_working_size(picture, (128, 128))
        after = (before * 0.5 + 0.2).astype(np.float32)

        made = finished(picture, before, after, 1.0, REPAIR)

        expected = np.asarray(astronaut) * 0.5 + 0.2 * 255
        assert np.abs(cv2.resize(made, (128, 128), interpolation=cv2.INTER_AREA) - after * 255).mean() < 1
        assert np.abs(made - expected).mean() < 5

    @pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
    def test_shows_no_ghost_of_edges_that_the_model_moved(self, photographs: dict[str, Image.Image], name: str) -> None:
        picture = Picture(np.asarray(photographs[name]))
        size = (picture.width // 4, picture.height // 4)
        moved = waved(picture.rgb.astype(np.float32) / 255)
        after = cv2.resize(moved, size, interpolation=cv2.INTER_AREA)

        made = finished(picture, to_working_size(picture, size), after, 1.0, REPAIR)

        assert psnr(made, moved * 255) > psnr(enlarged(after, picture), moved * 255) - 0.5

    @pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
    def test_keeps_what_the_model_only_touched_as_sharp_as_it_was(
        self, photographs: dict[str, Image.Image], name: str
    ) -> None:
        picture = Picture(np.asarray(photographs[name]))
        before = to_working_size(picture, (picture.width // 4, picture.height // 4))
        # About what an autoencoder does to a picture: a little blur, a little noise.
        noise = np.random.default_rng(1).normal(0, 4 / 255, before.shape)
        after = (cv2.GaussianBlur(before, (0, 0), 0.5) + noise).clip(0, 1).astype(np.float32)

        made = finished(picture, before, after, 1.0, REPAIR)

        assert psnr(made, picture.rgb) > psnr(enlarged(after, picture), picture.rgb) + 4

    def test_lets_no_texture_shine_through_where_the_model_drew_something_else(self) -> None:
        lattice = np.indices((512, 512)).sum(axis=0)
        wide = np.where(lattice // 16 % 2, 200, 60)
        fine = np.where(lattice % 2, 30, -30)
        picture = Picture(np.repeat((wide + fine)[..., None], 3, axis=2).astype(np.uint8))
        before = to_working_size(picture, (128, 128))

        made = finished(picture, before, np.full_like(before, 0.5), 1.0, PAINT)

        assert np.abs(made.astype(int) - 127).max() < 12

    def test_keeps_the_grain_of_a_photograph_but_not_under_flat_paint(self) -> None:
        grain = np.random.default_rng(1).normal(128, 6, (512, 512, 1)).clip(0, 255)
        picture = Picture(np.repeat(grain, 3, axis=2).astype(np.uint8))
        before = to_working_size(picture, (64, 64))
        flat = np.full_like(before, float(before.mean()))

        assert finished(picture, before, flat, 1.0, REPAIR).std() > 3.5
        assert finished(picture, before, flat, 1.0, PAINT).std() < 2

    def test_leaves_a_gray_photograph_gray_unless_the_style_gives_color(self) -> None:
        gray = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 256, 1), 3, axis=2).repeat(64, axis=0)
        picture = Picture(gray, gray=True)
        before = to_working_size(picture, (128, 64))
        after = (before * np.array([1.0, 0.8, 0.6], np.float32)).astype(np.float32)

        plain = finished(picture, before, after, 1.0, REPAIR)
        toned = finished(picture, before, after, 1.0, Finish(keeps_colors=False, flat_detail=1.0, gives_color=True))

        assert np.ptp(plain, axis=2).max() == 0
        assert np.ptp(toned, axis=2).max() > 50

    def test_does_not_depend_on_where_the_picture_is_cut(
        self, astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picture = Picture(np.asarray(astronaut))
        before = to_working_size(picture, (128, 128))
        after = before[::-1].copy()
        whole = finished(picture, before, after, 0.5, REPAIR)
        monkeypatch.setattr("triton_models.canvas._STRIP_PIXELS", 512 * 40)

        assert worst(finished(picture, before, after, 0.5, REPAIR), whole) <= 1
