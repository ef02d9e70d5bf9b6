from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from triton_models.engines import enhance_light
from triton_models.images import Picture
from triton_models.parameters import Parameters
from triton_models.progress import Watch
from triton_models.tests.pictures import encoded, opened

if TYPE_CHECKING:
    from pathlib import Path

    from triton_models.engines.enhance_light import LightRestorer

CROPS = {"astronaut": (150, 60, 310, 220), "coffee": (160, 100, 320, 260), "chelsea": (100, 60, 260, 220)}
EVERY = pytest.mark.parametrize("name", CROPS)


@pytest.fixture(scope="module")
def restorer(volume: Path) -> LightRestorer:
    return enhance_light.load(volume, threads=2)


@pytest.fixture(scope="module")
def crops(photographs: dict[str, Image.Image]) -> dict[str, Image.Image]:
    return {name: photographs[name].crop(box) for name, box in CROPS.items()}


def enhance(restorer: LightRestorer, image: Image.Image, strength: float = 0.3) -> np.ndarray:
    watch = Watch(lambda _fraction, _preview: None, lambda: False)
    return restorer.run(Picture(np.asarray(image)), Parameters(strength=strength), watch).picture.rgb


def psnr(one: np.ndarray | Image.Image, other: np.ndarray | Image.Image) -> float:
    difference = np.asarray(one, float) - np.asarray(other, float)
    return float(10 * np.log10(255**2 / max((difference**2).mean(), 1e-12)))


def detail(image: np.ndarray | Image.Image) -> np.ndarray:
    light = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return light - cv2.GaussianBlur(light, (0, 0), 1.5)


def likeness(one: np.ndarray | Image.Image, other: np.ndarray | Image.Image) -> float:
    """How much the detail of one is that of the other: sharpening raises its energy, but not this."""
    return float(np.corrcoef(detail(one).ravel(), detail(other).ravel())[0, 1])


@EVERY
class TestAPhotograph:
    @pytest.mark.parametrize("level", [8, 20])
    def test_that_is_noisy_comes_much_closer_to_the_clean_one(
        self, name: str, level: float, restorer: LightRestorer, crops: dict[str, Image.Image]
    ) -> None:
        truth = np.asarray(crops[name])
        noise = np.random.default_rng(0).normal(0, level, truth.shape)
        noisy = Image.fromarray((truth + noise).clip(0, 255).astype(np.uint8))

        made = enhance(restorer, noisy)

        assert psnr(truth, made) > psnr(truth, noisy) + 2
        assert likeness(truth, made) > likeness(truth, noisy) + 0.01

    def test_that_was_badly_compressed_comes_closer_to_the_clean_one(
        self, name: str, restorer: LightRestorer, crops: dict[str, Image.Image]
    ) -> None:
        truth = crops[name]
        spoilt = opened(encoded(truth, "JPEG", quality=20))

        made = enhance(restorer, spoilt)

        assert psnr(truth, made) > psnr(truth, spoilt) + 0.2
        assert likeness(truth, made) > likeness(truth, spoilt) + 0.01

    def test_that_is_clean_keeps_its_texture_and_gains_contrast(
        self, name: str, restorer: LightRestorer, crops: dict[str, Image.Image]
    ) -> None:
        truth = crops[name]

        made = enhance(restorer, truth, strength=1)

        assert psnr(truth, enhance(restorer, truth)) > 40
        assert likeness(truth, made) > 0.98
        assert 1.02 < detail(made).std() / detail(truth).std() < 1.4


class TestAnEdge:
    def test_gets_no_halo(self, restorer: LightRestorer) -> None:
        edge = Image.new("RGB", (128, 64), (90, 90, 90))
        edge.paste((170, 170, 170), (64, 0, 128, 64))

        made = enhance(restorer, edge, strength=1).astype(int)[..., 1]

        assert np.abs(made[:, :54] - made[32, 8]).max() <= 3
        assert np.abs(made[:, 74:] - made[32, 120]).max() <= 3


class TestChecks:
    def test_say_what_was_found(self, restorer: LightRestorer, crops: dict[str, Image.Image]) -> None:
        watch = Watch(lambda _fraction, _preview: None, lambda: False)
        spoilt = opened(encoded(crops["coffee"], "JPEG", quality=20))

        checks = restorer.run(Picture(np.asarray(spoilt)), Parameters(strength=0.3), watch).checks

        assert checks["noise"] == 0
        assert float(str(checks["jpeg_blocks"])) > 1
