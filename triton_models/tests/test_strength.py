"""What the engines that have a strength owe every picture, whichever of them it is."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from triton_models import canvas
from triton_models.engines import OPERATIONS, Engine, enhance_light, load_engines
from triton_models.errors import Cancelled
from triton_models.images import Picture
from triton_models.parameters import resolve
from triton_models.progress import Watch
from triton_models.tests.pictures import encoded, pixels

if TYPE_CHECKING:
    from pathlib import Path

EVERY = pytest.mark.parametrize("operation", ["enhance", "style_comic", "style_aged"])


@pytest.fixture(scope="module")
def engines(volume: Path) -> dict[str, Engine]:
    rows = {name: row for name, row in OPERATIONS.items() if "strength" in row.accepts}
    return {name: load_engines(row, volume)[row.light.name] for name, row in rows.items()}


@pytest.fixture(scope="module")
def photo(photographs: dict[str, Image.Image]) -> Picture:
    """Grain, an eye, fur and a soft background."""
    return Picture(np.asarray(photographs["chelsea"].crop((80, 60, 240, 180))))


@pytest.fixture(scope="module")
def spoilt(photographs: dict[str, Image.Image]) -> Picture:
    """Noisy and badly compressed, so that every part of every engine has work to do."""
    crop = photographs["astronaut"].crop((140, 50, 330, 190))
    noisy = pixels(crop) + np.random.default_rng(0).normal(0, 6, (140, 190, 3))
    compressed = encoded(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), "JPEG", quality=25)
    return Picture(pixels(compressed).astype(np.uint8))


def make(engine: Engine, picture: Picture, operation: str, **asked: object) -> Picture:
    parameters, _ = resolve({"seed": 1, **asked}, OPERATIONS[operation].accepts)
    return engine.run(picture, parameters, Watch(lambda _fraction, _preview: None, lambda: False)).picture


def distance(one: Picture, other: Picture) -> float:
    return float(np.abs(one.rgb.astype(int) - other.rgb).mean())


@EVERY
class TestStrength:
    def test_of_0_gives_the_photo_back(self, operation: str, engines: dict[str, Engine], photo: Picture) -> None:
        made = make(engines[operation], photo, operation, strength=0)

        assert (made.rgb == photo.rgb).all()

    def test_goes_further_from_the_photo_the_larger_it_is(
        self, operation: str, engines: dict[str, Engine], photo: Picture
    ) -> None:
        made = [make(engines[operation], photo, operation, strength=step / 4) for step in range(5)]

        distances = [distance(photo, each) for each in made]
        assert distances == sorted(distances)
        assert distances[1] > 0.3
        assert distances[4] > 2 * distances[1]


@EVERY
class TestAPicture:
    def test_has_no_seams(
        self, operation: str, engines: dict[str, Engine], spoilt: Picture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = make(engines[operation], spoilt, operation, strength=1)

        monkeypatch.setattr(canvas, "_STRIP_PIXELS", 190 * 37)
        monkeypatch.setattr(enhance_light, "TILE", 70)
        cut = make(engines[operation], spoilt, operation, strength=1)

        assert np.abs(cut.rgb.astype(int) - whole.rgb).max() <= 1

    def test_is_the_same_every_time(self, operation: str, engines: dict[str, Engine], photo: Picture) -> None:
        assert (make(engines[operation], photo, operation).rgb == make(engines[operation], photo, operation).rgb).all()

    @pytest.mark.parametrize("shape", [(32, 32), (33, 127), (129, 35), (1, 40), (40, 1)])
    def test_may_have_any_shape(self, operation: str, shape: tuple[int, int], engines: dict[str, Engine]) -> None:
        rgb = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)

        made = make(engines[operation], Picture(rgb), operation, strength=1)

        assert made.rgb.shape == rgb.shape

    def test_keeps_its_transparency(self, operation: str, engines: dict[str, Engine], photo: Picture) -> None:
        alpha = np.linspace(0, 255, 160).astype(np.uint8)[None].repeat(120, axis=0)

        made = make(engines[operation], Picture(photo.rgb, alpha), operation)

        assert made.alpha is not None
        assert (made.alpha == alpha).all()

    def test_shows_nothing_of_what_lies_hidden_under_transparency(
        self, operation: str, engines: dict[str, Engine], photo: Picture
    ) -> None:
        alpha = np.zeros((120, 160), np.uint8)
        alpha[:, 80:] = 255
        black, white = photo.rgb.copy(), photo.rgb.copy()
        black[:, :80], white[:, :80] = 0, 255

        made = [make(engines[operation], Picture(rgb, alpha), operation, strength=1).rgb for rgb in (black, white)]

        assert np.abs(made[0][:, 80:].astype(int) - made[1][:, 80:]).max() <= 2

    def test_is_shown_while_it_is_made(
        self, operation: str, engines: dict[str, Engine], photo: Picture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(canvas, "_STRIP_PIXELS", 160 * 15)
        monkeypatch.setattr(enhance_light, "TILE", 60)
        now, shown = itertools.count(step=3), []
        parameters, _ = resolve({"strength": 1, "seed": 1}, OPERATIONS[operation].accepts)
        watch = Watch(lambda _, preview: preview and shown.append(pixels(preview)), lambda: False, lambda: next(now))

        made = engines[operation].run(photo, parameters, watch).picture

        from_photo, from_result = (
            [float(np.abs(preview - each.rgb).mean()) for preview in shown] for each in (photo, made)
        )
        assert from_photo[-1] > from_photo[0] + 1
        assert from_result[-1] < from_result[0] - 1
        assert any(from_photo[0] + 0.3 < distance < from_photo[-1] - 0.3 for distance in from_photo)

    def test_tells_how_far_it_is_and_stops_when_nobody_wants_it(
        self, operation: str, engines: dict[str, Engine], photo: Picture
    ) -> None:
        heard: list[tuple[float, bytes | None]] = []
        parameters, _ = resolve({}, OPERATIONS[operation].accepts)
        watch = Watch(lambda *told: heard.append(told), lambda: len(heard) == 2)

        with pytest.raises(Cancelled):
            engines[operation].run(photo, parameters, watch)

        fractions = [fraction for fraction, _ in heard]
        assert fractions[0] == 0
        assert fractions == sorted(fractions)


@pytest.mark.parametrize(("operation", "stays"), [("enhance", True), ("style_comic", True), ("style_aged", False)])
class TestAGrayPicture:
    def test_gets_colors_from_old_paper_alone(
        self,
        operation: str,
        stays: bool,  # noqa: FBT001 - a case
        engines: dict[str, Engine],
        photo: Picture,
    ) -> None:
        gray = np.asarray(Image.fromarray(photo.rgb).convert("L").convert("RGB"))

        made = make(engines[operation], Picture(gray, gray=True), operation, strength=1)

        assert made.gray == stays
        assert (np.ptp(made.rgb.astype(int), axis=2).max() == 0) == stays
