"""
Every way a file may hold a picture, through every operation.

The colours expected are known before any file is written; those of wide-gamut files come from profiles.py, which works
them out without the code under test. A default run decodes every file, and sends every kind of file through every
operation in one of its orientations, another each time; `-m long` sends every file through every operation.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import ImageCms

from triton_models.engines import OPERATIONS
from triton_models.images import decode
from triton_models.tests.matrix import (
    EVERY,
    HEIGHT,
    KINDS,
    PLACES,
    SECRET,
    WIDTH,
    Kind,
    differences,
    seen_in_places,
)
from triton_models.tests.pictures import opened, run

if TYPE_CHECKING:
    from triton_models.pipeline import Pipeline, Result

# What an engine may add to what the formats lose, in CIEDE2000: rounding, and the network's own idea of a flat colour.
ENGINE_BOUND = 1.0
# Of these a default run does every so manieth kind: the network looks at 320 x 320 pixels, however small the picture.
COSTLY = {"background_remove": 6}
# Each kind with each operation, in an orientation that moves on by one from kind to kind and from operation to operation.
SAMPLE = [
    (kind, (number + shift) % 8 + 1 if kind.turns else 1, operation)
    for number, kind in enumerate(KINDS)
    for shift, operation in enumerate(OPERATIONS)
    if number % COSTLY.get(operation, 1) == 0
]
SAMPLED = set(SAMPLE)
REST = [(*file, operation) for file in EVERY for operation in OPERATIONS if (*file, operation) not in SAMPLED]
Load = "Callable[[str], Pipeline]"


class TestDecoding:
    @pytest.mark.parametrize(("kind", "orientation"), EVERY, ids=str)
    def test_gives_the_same_picture_whatever_holds_it(self, kind: Kind, orientation: int) -> None:
        picture = decode(kind.file(orientation))

        assert (picture.width, picture.height) == (WIDTH, HEIGHT)
        assert_colours(picture.rgb, kind, kind.bound)
        assert (picture.alpha is None) == (kind.alphas is None)
        if picture.alpha is not None and kind.alphas is not None:
            assert np.abs(seen_in_places(picture.alpha[..., None])[:, 0] - kind.alphas).max() <= 1


class TestAnyFile:
    @pytest.mark.parametrize(("kind", "orientation", "operation"), SAMPLE, ids=str)
    def test_comes_out_right(self, kind: Kind, orientation: int, operation: str, load: Load) -> None:
        assert_right(kind, orientation, load(operation))

    @pytest.mark.long
    @pytest.mark.parametrize(("kind", "orientation", "operation"), REST, ids=str)
    def test_comes_out_right_in_every_orientation(
        self, kind: Kind, orientation: int, operation: str, load: Load
    ) -> None:
        assert_right(kind, orientation, load(operation))


def assert_right(kind: Kind, orientation: int, pipeline: Pipeline) -> None:
    file, accepts = kind.file(orientation), pipeline.operation.accepts
    scale = {"scale": 2} if "scale" in accepts else {}

    if "strength" in accepts:
        # At its default strength it changes colours, which is what it is for; at none it must not.
        changed = run(pipeline, file)
        assert_private(changed)
        assert_upright(changed, kind)
        result = run(pipeline, file, strength=0.0)
    else:
        result = run(pipeline, file, **scale)

    assert_private(result)
    made = opened(result.image).convert("RGBA")
    factor = scale.get("scale", 1)
    assert made.size == (WIDTH * factor, HEIGHT * factor) == (result.width, result.height)
    assert_colours(np.asarray(made)[..., :3], kind, kind.bound + ENGINE_BOUND)
    assert_format(result, kind, cuts="channels" in accepts)
    assert np.abs(seen_in_places(np.asarray(made)[..., 3:])[:, 0] - (kind.alphas or (255,) * 4)).max() <= 2


def assert_colours(rgb: np.ndarray, kind: Kind, bound: float) -> None:
    shown = [not kind.alphas or kind.alphas[place] > 0 for place in range(len(PLACES))]
    assert differences(rgb, kind.colours)[shown].max() <= bound


def assert_upright(result: Result, kind: Kind) -> None:
    """Of the scene turned in all eight ways the upright one is the nearest, whatever became of its colours."""
    made = opened(result.image).convert("RGBA")
    assert made.size == (WIDTH, HEIGHT)
    seen = seen_in_places(np.asarray(made)[..., :3])
    turned = {places: np.array([kind.colours[place] for place in places]) for places in TURNS}
    shown = [not kind.alphas or alpha > 0 for alpha in (kind.alphas or (255,) * 4)]
    nearest = min(turned, key=lambda places: float(np.abs(turned[places] - seen)[shown].mean()))
    assert nearest == (0, 1, 2, 3)


# Where the four places end up when the scene is turned and mirrored.
TURNS = ((0, 1, 2, 3), (1, 0, 3, 2), (3, 2, 1, 0), (2, 3, 0, 1), (0, 2, 1, 3), (2, 0, 3, 1), (3, 1, 2, 0), (1, 3, 0, 2))


def assert_private(result: Result) -> None:
    made = opened(result.image)
    assert SECRET.encode() not in result.image
    assert not made.getexif()
    assert not {"comment", "xmp", "XML:com.adobe.xmp", "Comment"} & made.info.keys()
    if made.mode in {"L", "LA"}:
        assert "icc_profile" not in made.info
        return
    profile = ImageCms.ImageCmsProfile(io.BytesIO(made.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


def assert_format(result: Result, kind: Kind, *, cuts: bool) -> None:
    own = kind.name.split()[0]
    has_alpha = cuts or kind.alphas is not None
    assert result.format == (own if own in {"jpeg", "webp"} and not has_alpha else "png")
