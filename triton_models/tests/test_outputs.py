"""What a caller asks of the result's file, of every operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import ExifTags, Image, JpegImagePlugin

from triton_models.engines import OPERATIONS
from triton_models.tests.matrix import ALPHAS, COLOURS, KINDS, differences, private_tags, seen_in_places
from triton_models.tests.pictures import encoded, opened, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from triton_models.pipeline import Pipeline, Result

    Load = Callable[[str], Pipeline]

EVERY_OPERATION = pytest.mark.parametrize("operation", OPERATIONS)
EVERY_FORMAT = pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
FILES = {
    kind.name: kind.file() for kind in KINDS if kind.name in {"png rgb", "png alpha", "png gray", "png gray alpha"}
}
ARTIST, ORIENTATION = 0x013B, 0x0112
BLUE = (20, 60, 200)


def ask(pipeline: Pipeline, file: bytes, **options: Any) -> Result:
    """Run without a change of colours, as small as the operation allows, the network's opinion of a background apart."""
    accepts = pipeline.operation.accepts
    plain: dict[str, Any] = {"strength": 0.0} if "strength" in accepts else {}
    plain |= {"scale": 2} if "scale" in accepts else {}
    return run(pipeline, file, **plain, options=options)


def shown(result: Result) -> np.ndarray:
    return np.asarray(opened(result.image).convert("RGBA"))


class TestFormat:
    @EVERY_OPERATION
    @EVERY_FORMAT
    def test_is_the_one_asked_for_and_keeps_the_transparency_it_can(
        self, operation: str, format_: str, load: Load
    ) -> None:
        result = ask(load(operation), FILES["png alpha"], format=format_)

        made = opened(result.image)
        assert (result.format, made.format) == (format_, format_.upper())
        assert made.mode == ("RGB" if format_ == "jpeg" else "RGBA")
        if format_ != "jpeg":
            assert np.abs(seen_in_places(shown(result)[..., 3:])[:, 0] - ALPHAS).max() <= 2
            assert differences(shown(result)[..., :3], COLOURS).max() <= 3.5

    @EVERY_OPERATION
    def test_without_transparency_lays_the_picture_on_white(self, operation: str, load: Load) -> None:
        result = ask(load(operation), FILES["png alpha"], format="jpeg")

        on_white = np.array(COLOURS) * np.array(ALPHAS)[:, None] / 255 + 255 - np.array(ALPHAS)[:, None]
        assert differences(shown(result)[..., :3], tuple(map(tuple, on_white))).max() <= 3.5

    @EVERY_OPERATION
    def test_of_a_gray_photo_is_gray(self, operation: str, load: Load) -> None:
        pipeline = load(operation)

        made = opened(ask(pipeline, FILES["png gray"]).image)
        transparent = opened(ask(pipeline, FILES["png gray alpha"]).image)

        assert made.mode == ("LA" if "channels" in pipeline.operation.accepts else "L")
        assert transparent.mode == "LA"
        assert np.abs(seen_in_places(np.asarray(transparent)[..., 1:])[:, 0] - ALPHAS).max() <= 2


class TestQuality:
    @EVERY_OPERATION
    @pytest.mark.parametrize("format_", ["jpeg", "webp"])
    def test_costs_bytes(self, operation: str, format_: str, load: Load, small_photo: Image.Image) -> None:
        photo = encoded(small_photo)

        sizes = [len(ask(load(operation), photo, format=format_, quality=quality).image) for quality in (10, 60, 100)]

        assert sizes == sorted(set(sizes))

    @pytest.mark.parametrize(("quality", "halved"), [(None, 0), (100, 0), (90, 0), (89, 2), (1, 2)])
    def test_decides_whether_a_jpeg_halves_its_colours(self, quality: int | None, halved: int, load: Load) -> None:
        result = ask(load("style_aged"), FILES["png rgb"], format="jpeg", quality=quality)

        assert JpegImagePlugin.get_sampling(opened(result.image)) == halved


class TestMetadata:
    @EVERY_OPERATION
    @EVERY_FORMAT
    def test_is_kept_only_as_far_as_asked(self, operation: str, format_: str, load: Load) -> None:
        photo = encoded(
            Image.new("RGB", (40, 32), (90, 120, 60)), "JPEG", exif=private_tags(6), comment="SECRET remark"
        )

        tags = {
            policy: opened(ask(load(operation), photo, format=format_, metadata=policy).image).getexif()
            for policy in ("strip", "copyright", "keep")
        }

        assert not tags["strip"]
        assert dict(tags["copyright"]) == {ARTIST: "Ada"}
        assert tags["keep"].get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"
        assert ORIENTATION not in tags["keep"]


class TestACutOut:
    def test_on_a_colour_is_opaque(self, load: Load) -> None:
        made = shown(ask(load("background_remove"), FILES["png rgb"], bg_color="#143cc8"))

        assert made[..., 3].min() == 255
        assert np.abs(made[1, 1, :3].astype(int) - BLUE).max() <= 4
        assert differences(made[..., :3], COLOURS).max() <= 2

    def test_is_cropped_to_the_subject(self, load: Load) -> None:
        whole = opened(ask(load("background_remove"), FILES["png rgb"]).image)
        cropped = ask(load("background_remove"), FILES["png rgb"], crop=True)

        made = opened(cropped.image)
        assert made.size == (cropped.width, cropped.height)
        assert made.width < whole.width
        assert made.height <= whole.height
        assert differences(shown(cropped)[..., :3], COLOURS).max() <= 2

    @pytest.mark.parametrize("format_", ["auto", "jpeg", "webp"])
    def test_may_be_its_mask_alone(self, format_: str, load: Load) -> None:
        made = shown(ask(load("background_remove"), FILES["png rgb"], channels="alpha", format=format_))

        assert (made[..., 3] == 255).all()
        assert seen_in_places(made[..., :3]).min() > 245
        assert made[1, 1, :3].max() < 30
