from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from triton_models.engines import upscale_light
from triton_models.engines.upscale_light import LightUpscaler, back_project
from triton_models.errors import Cancelled, QualityGate
from triton_models.images import Picture
from triton_models.parameters import Parameters
from triton_models.progress import Watch

if TYPE_CHECKING:
    from pathlib import Path

    import ncnn

PHOTOGRAPHS = ["astronaut", "coffee", "chelsea"]


@pytest.fixture(scope="module")
def upscaler(volume: Path) -> LightUpscaler:
    return upscale_light.load(volume, threads=2)


class ConstantNet:
    """Stands for a network that went wrong: one value everywhere."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.shape = (0, 0)

    def create_extractor(self) -> ConstantNet:
        return self

    def set_blob_allocator(self, _allocator: ncnn.PoolAllocator) -> None: ...

    def set_workspace_allocator(self, _allocator: ncnn.PoolAllocator) -> None: ...

    def input(self, _name: str, pixels: ncnn.Mat) -> None:
        self.shape = (pixels.h, pixels.w)

    def extract(self, _name: str) -> tuple[int, np.ndarray]:
        return 0, np.full((3, self.shape[0] * 4, self.shape[1] * 4), self.value, np.float32)


def enlarge(upscaler: LightUpscaler, picture: Picture, scale: int = 4) -> Picture:
    watch = Watch(lambda _fraction, _preview: None, lambda: False)
    return upscaler.run(picture, Parameters(scale=scale), watch).picture


def reduced(image: Image.Image, scale: int) -> Image.Image:
    return image.resize((image.width // scale, image.height // scale), Image.Resampling.BOX)


def psnr(one: np.ndarray | Image.Image, other: np.ndarray | Image.Image) -> float:
    difference = np.asarray(one, float) - np.asarray(other, float)
    return float(10 * np.log10(255**2 / max((difference**2).mean(), 1e-12)))


def detail(image: Image.Image, small: Image.Image) -> np.ndarray:
    """What the small picture cannot hold: an unsharp mask raises its energy, but not its likeness to the truth."""
    blurred = image.resize(small.size, Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)
    return (np.asarray(image.convert("L"), float) - np.asarray(blurred.convert("L"), float)).ravel()


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


class TestEnlargement:
    @pytest.mark.parametrize("name", PHOTOGRAPHS)
    @pytest.mark.parametrize("scale", [4, 2])
    def test_is_closer_to_the_true_photograph_than_lanczos(
        self, name: str, scale: int, upscaler: LightUpscaler, photographs: dict[str, Image.Image]
    ) -> None:
        truth = photographs[name]
        small = reduced(truth, scale)
        lanczos = small.resize(truth.size, Image.Resampling.LANCZOS)

        made = Image.fromarray(enlarge(upscaler, Picture(np.asarray(small)), scale).rgb)

        true_detail = detail(truth, small)
        gain = likeness(true_detail, detail(made, small)) / likeness(true_detail, detail(lanczos, small))
        assert psnr(truth, made) >= psnr(truth, lanczos) - 0.1
        assert gain >= 1.05

    @pytest.mark.parametrize("scale", [4, 2])
    def test_gives_the_input_back_when_averaged_down(
        self, scale: int, upscaler: LightUpscaler, astronaut: Image.Image
    ) -> None:
        small = reduced(astronaut, 4)

        made = Image.fromarray(enlarge(upscaler, Picture(np.asarray(small)), scale).rgb)

        assert psnr(reduced(made, scale), small) > 45

    def test_in_tiles_equals_the_whole(
        self, upscaler: LightUpscaler, astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        picture = Picture(np.asarray(astronaut)[100:356, 100:356])
        whole = enlarge(upscaler, picture).rgb

        monkeypatch.setattr(upscale_light, "TILE", 100)
        tiled = enlarge(upscaler, picture).rgb

        assert np.abs(tiled.astype(int) - whole).max() <= 1

    @pytest.mark.parametrize("shape", [(32, 32), (33, 127), (300, 35)])
    def test_fits_any_shape(self, shape: tuple[int, int], upscaler: LightUpscaler) -> None:
        made = enlarge(upscaler, Picture(np.full((*shape, 3), 80, np.uint8)), scale=2)

        assert made.rgb.shape == (shape[0] * 2, shape[1] * 2, 3)
        assert np.abs(made.rgb.astype(int) - 80).max() <= 3

    @pytest.mark.parametrize("said_so", [True, False])
    def test_of_gray_stays_gray(self, said_so: bool, upscaler: LightUpscaler, small_photo: Image.Image) -> None:  # noqa: FBT001 - a case
        gray = np.asarray(small_photo.convert("L").convert("RGB"))

        made = enlarge(upscaler, Picture(gray, gray=said_so))

        assert made.gray == said_so
        assert np.ptp(made.rgb.astype(int), axis=2).max() == 0

    def test_takes_transparency_along(self, upscaler: LightUpscaler, small_photo: Image.Image) -> None:
        alpha = np.zeros((64, 96), np.uint8)
        alpha[:, 48:] = 255

        made = enlarge(upscaler, Picture(np.asarray(small_photo), alpha))

        assert made.alpha is not None
        assert made.alpha.shape == (256, 384)
        assert made.alpha[:, :180].max() == 0
        assert made.alpha[:, 204:].min() == 255

    def test_draws_no_dark_rim_from_what_lies_under_transparency(self, upscaler: LightUpscaler) -> None:
        rgb, alpha = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
        rgb[:, 32:], alpha[:, 32:] = 230, 255

        made = enlarge(upscaler, Picture(rgb, alpha))

        assert made.alpha is not None
        assert made.rgb[made.alpha > 0].min() > 215

    def test_gives_the_same_pixels_every_time(self, upscaler: LightUpscaler, small_photo: Image.Image) -> None:
        picture = Picture(np.asarray(small_photo))

        assert (enlarge(upscaler, picture).rgb == enlarge(upscaler, picture).rgb).all()

    def test_stops_at_the_next_tile_when_cancelled(
        self, upscaler: LightUpscaler, astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(upscale_light, "TILE", 64)
        heard: list[float] = []
        watch = Watch(lambda fraction, _preview: heard.append(fraction), lambda: len(heard) == 3)

        with pytest.raises(Cancelled):
            upscaler.run(Picture(np.asarray(astronaut)[:128]), Parameters(), watch)

        assert heard == [0.0, 1 / 16, 2 / 16]

    @pytest.mark.parametrize(("answer", "sentence"), [(np.nan, "not finite"), (0.0, "does not look like the input")])
    def test_that_went_wrong_is_not_handed_out(
        self,
        answer: float,
        sentence: str,
        upscaler: LightUpscaler,
        small_photo: Image.Image,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(upscale_light, "back_project", lambda _low, high: high)

        with pytest.raises(QualityGate, match=sentence):
            enlarge(replace(upscaler, net=ConstantNet(answer)), Picture(np.asarray(small_photo)))


class TestBackProject:
    def test_makes_any_guess_agree_with_the_input(self) -> None:
        rng = np.random.default_rng(0)
        low = rng.uniform(0.3, 0.7, (32, 32, 3)).astype(np.float32)
        wrong = np.full((128, 128, 3), 0.5, np.float32)

        high = back_project(low, wrong, steps=8)

        averaged = high.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
        assert np.abs(averaged - low).max() < 0.02
