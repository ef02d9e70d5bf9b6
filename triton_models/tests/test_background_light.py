from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from triton_models import cutout
from triton_models.engines import Outcome, background_light
from triton_models.errors import Cancelled, QualityGate
from triton_models.images import Picture
from triton_models.parameters import Parameters
from triton_models.progress import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from triton_models.engines.background_light import LightCutter

GREEN = (0, 255, 0)
# Boxes (top, bottom, left, right) in the photographs, all subject or all background.
SUBJECT = {"astronaut": (40, 480, 190, 250), "coffee": (60, 340, 200, 380), "chelsea": (40, 200, 100, 270)}
BACKGROUND = {"astronaut": (0, 100, 320, 512), "coffee": (0, 400, 0, 60), "chelsea": (0, 120, 400, 448)}


@pytest.fixture(scope="module")
def cutter(volume: Path) -> LightCutter:
    return background_light.load(volume, threads=2)


@pytest.fixture(scope="module")
def cuts(cutter: LightCutter, photographs: dict[str, Image.Image]) -> dict[str, Outcome]:
    return {name: cut(cutter, Picture(np.asarray(image))) for name, image in photographs.items()}


def cut(cutter: LightCutter, picture: Picture, **parameters: object) -> Outcome:
    watch = Watch(lambda _fraction, _preview: None, lambda: False)
    return cutter.run(picture, Parameters(**parameters), watch)


def alpha_of(outcome: Outcome) -> np.ndarray:
    assert outcome.picture.alpha is not None
    return outcome.picture.alpha


def box(values: np.ndarray, where: tuple[int, int, int, int]) -> np.ndarray:
    top, bottom, left, right = where
    return values[top:bottom, left:right]


def green_ball(side: int = 400) -> tuple[Picture, np.ndarray]:
    """An orange ball on strong green, and its true alpha: any rim of the background is easy to see."""
    y, x = np.mgrid[0:side, 0:side]
    alpha = np.clip(0.3 * side + 0.5 - np.hypot(y - side / 2, x - side / 2), 0, 1)
    shade = 1 - 0.2 * ((y + x) % 40 < 20)[..., None]
    mixed = np.array((230, 120, 40)) * shade * alpha[..., None] + np.array((20, 200, 30)) * (1 - alpha[..., None])
    return Picture(mixed.astype(np.uint8)), alpha


class TestCut:
    @pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
    def test_keeps_the_subject_and_clears_the_background(self, name: str, cuts: dict[str, Outcome]) -> None:
        alpha = alpha_of(cuts[name]) / 255

        assert np.mean(box(alpha, SUBJECT[name]) > 0.9) > 0.99
        assert box(alpha, BACKGROUND[name]).mean() < 0.02

    @pytest.mark.parametrize("name", ["astronaut", "coffee"])
    def test_holds_every_pixel_of_a_plain_subject(self, name: str, cuts: dict[str, Outcome]) -> None:
        alpha = alpha_of(cuts[name]) / 255

        assert box(alpha, SUBJECT[name]).min() > 0.9
        assert box(alpha, BACKGROUND[name]).max() < 0.1

    def test_leaves_the_pixels_inside_the_subject_alone(
        self, cuts: dict[str, Outcome], photographs: dict[str, Image.Image]
    ) -> None:
        opaque = alpha_of(cuts["coffee"]) == 255

        assert (cuts["coffee"].picture.rgb[opaque] == np.asarray(photographs["coffee"])[opaque]).all()

    def test_is_twice_as_close_to_the_truth_as_the_network_alone(self, cutter: LightCutter) -> None:
        picture, truth = green_ball(side=1600)
        network = Image.fromarray(cutter.mask(picture.rgb)).resize((1600, 1600), Image.Resampling.BICUBIC)

        refined = alpha_of(cut(cutter, picture)) / 255

        assert np.abs(refined - truth).mean() < 0.5 * np.abs(np.asarray(network) - truth).mean()

    def test_carries_no_halo_of_the_old_background(self, cutter: LightCutter) -> None:
        picture, _ = green_ball()

        made = cut(cutter, picture)

        alpha = alpha_of(made)
        rim = made.picture.rgb[(alpha > 25) & (alpha < 230)].astype(int)
        assert len(rim) > 100
        # The ball is red before green everywhere; the old background is the other way round.
        assert np.mean(rim[:, 0] > rim[:, 1]) > 0.9

    def test_is_as_transparent_as_its_input_was(self, cutter: LightCutter, photographs: dict[str, Image.Image]) -> None:
        faint = np.full((400, 600), 100, np.uint8)

        alpha = alpha_of(cut(cutter, Picture(np.asarray(photographs["coffee"]), faint)))

        assert box(alpha, SUBJECT["coffee"]).max() <= 100
        assert box(alpha, SUBJECT["coffee"]).mean() > 90

    def test_gives_the_same_pixels_in_tiles_of_any_size(
        self,
        cutter: LightCutter,
        cuts: dict[str, Outcome],
        photographs: dict[str, Image.Image],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(cutout, "_TILE_SIDE", 37)

        again = cut(cutter, Picture(np.asarray(photographs["astronaut"])))

        assert np.abs(alpha_of(again).astype(int) - alpha_of(cuts["astronaut"])).max() <= 1

    def test_stops_when_cancelled(self, cutter: LightCutter) -> None:
        heard: list[float] = []
        watch = Watch(lambda fraction, _preview: heard.append(fraction), lambda: len(heard) == 2)

        with pytest.raises(Cancelled):
            cutter.run(green_ball()[0], Parameters(), watch)

        assert len(heard) == 2

    def test_that_is_not_finite_is_not_handed_out(self, cutter: LightCutter) -> None:
        with pytest.raises(QualityGate, match="not finite"):
            cut(replace(cutter, session=BrokenSession()), green_ball()[0])


class BrokenSession:
    def get_inputs(self) -> list[BrokenSession]:
        return [self]

    get_outputs = get_inputs
    name = "any"

    def run(self, _outputs: list[str], _inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [np.full((1, 1, 320, 320), np.nan, np.float32)]


class TestChecks:
    def test_tell_how_much_was_undecided(self, cuts: dict[str, Outcome]) -> None:
        assert cuts["coffee"].checks["undecided"] < 0.05
        assert cuts["coffee"].warnings == []

    def test_warn_of_a_cat_that_fills_the_frame(self, cuts: dict[str, Outcome]) -> None:
        assert cuts["chelsea"].checks["undecided"] > 0.15
        assert "check the edges" in cuts["chelsea"].warnings[0]

    def test_say_when_there_is_no_subject(self, cutter: LightCutter) -> None:
        made = cut(cutter, Picture(np.full((200, 300, 3), 128, np.uint8)))

        assert made.checks["empty"] is True
        assert alpha_of(made).max() < 13
        assert made.warnings == ["No subject was found: nearly everything is transparent."]


class TestParameters:
    def test_bg_color_replaces_transparency(self, cutter: LightCutter, photographs: dict[str, Image.Image]) -> None:
        made = cut(cutter, Picture(np.asarray(photographs["coffee"])), bg_color=GREEN).picture

        assert made.alpha is None
        assert (made.rgb[5, 5] == GREEN).all()

    def test_crop_leaves_the_subject_and_a_small_margin(
        self, cutter: LightCutter, photographs: dict[str, Image.Image]
    ) -> None:
        made = cut(cutter, Picture(np.asarray(photographs["coffee"])), crop=True)

        alpha = alpha_of(made)
        assert 350 < alpha.shape[1] < 480
        assert alpha[:3].max() < 20
        assert alpha[:, :3].max() < 20
        assert made.picture.rgb.shape[:2] == alpha.shape

    def test_crop_keeps_everything_when_there_is_no_subject(self, cutter: LightCutter) -> None:
        made = cut(cutter, Picture(np.full((200, 300, 3), 128, np.uint8)), crop=True)

        assert alpha_of(made).shape == (200, 300)

    def test_channels_alpha_gives_the_mask_as_a_gray_picture(
        self, cutter: LightCutter, cuts: dict[str, Outcome], photographs: dict[str, Image.Image]
    ) -> None:
        made = cut(cutter, Picture(np.asarray(photographs["coffee"])), channels="alpha")

        assert made.picture.gray
        assert made.picture.alpha is None
        assert (made.picture.rgb[..., 0] == alpha_of(cuts["coffee"])).all()
