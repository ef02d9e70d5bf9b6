"""
Enhance a photograph on a CPU: noise and compression marks go, local contrast and crisp edges come, texture stays.

The noise and the blocks of a JPEG are measured first, since a clean photograph must not be cleaned. Noise is taken by
non-local means (Buades, Coll, Morel 2005), colour noise more than light, because the eye misses it less.
realesr-animevideov3 (see upscale_light) then restores edges: four times up and averaged back down. What it changes is
believed as far as the picture was damaged, and only in its shapes: slow changes of colour are the photograph's own.
Local contrast comes from a guided filter (He et al. 2010), which has no halos.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from triton_models import damage
from triton_models.canvas import Canvas
from triton_models.engines import Outcome, upscale_light
from triton_models.fields import Field, working_copy, working_size
from triton_models.tiles import tiles
from triton_models.transparency import REACH, opaque_pixels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from triton_models.images import Picture
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch

    Floats = NDArray[np.float32]

NAME = "restorer"
VERSION = "1"
# The network takes six seconds a megapixel; of a larger picture it sees a smaller copy.
_NETWORK_PIXELS = 1_500_000
_CONTRAST_PIXELS = 400_000
_MEASURED_PIXELS = 1_000_000
# Smaller than the upscaler's, for half the memory; without back-projection the network sees 18 pixels far.
TILE, OVERLAP = 128, 20
# Up to here, in levels of 0 to 1, what was measured is texture.
_NO_NOISE = 1.5 / 255
_SEARCH, _WINDOW = 15, 5
# As far as non-local means look, beyond that the smoothing of a block's lines, and beyond that the spread of colours.
_OVERLAP = (_SEARCH + _WINDOW) // 2 + damage.BLOCK + REACH
_LIGHT_SHARE, _COLOR_SHARE = 0.85, 1.3
_LEAST_TRUST, _MOST_TRUST = 0.15, 0.6
_STEP_OF_BAD_JPEG, _BAD_NOISE = 2.0 / 255, 8.0 / 255
_SLOW = 3.0
_CONTRAST, _SHARPENING, _LIVELINESS = 0.5, 0.35, 0.12


@dataclass(frozen=True)
class Findings:
    """What is wrong with a picture: the noise in its light and its colours, 0 to 1, and the blocks of a JPEG."""

    light: float
    color: float
    blocks: damage.Blocks

    @property
    def clean(self) -> bool:
        return not (self.light or self.color or self.blocks.step)

    @property
    def trust(self) -> float:
        """How far the network is believed, 0 to 1."""
        share = min(1.0, max(self.blocks.step / _STEP_OF_BAD_JPEG, self.light / _BAD_NOISE))
        return _LEAST_TRUST + (_MOST_TRUST - _LEAST_TRUST) * share


@dataclass(frozen=True)
class LightRestorer:
    """Non-local means, realesr-animevideov3 and local contrast."""

    network: upscale_light.LightUpscaler
    weights_sha256: str
    name: str = NAME
    version: str = VERSION
    uses: frozenset[str] = frozenset({"strength"})
    seconds_per_megapixel: float = 5.0

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        strength = parameters.strength or 0.0
        watch.report(0.0)
        found = measure(picture)
        cleaned_at, restored_at = _shares(picture, found)
        clean = picture if found.clean else clean_up(picture, found, watch.part(0.0, cleaned_at))
        change = self._change(clean, found, watch.part(cleaned_at, restored_at))
        base = _base(clean)
        canvas = Canvas.over(picture)
        cleaned = 1 - (1 - strength) ** 3
        for strip in canvas.strips(watch.part(restored_at, 1.0), overlap=REACH + 4):
            before, after = (opaque_pixels(each, (strip.outer(), slice(None))) for each in (picture, clean))
            after = after + change.rows(strip.outer_start, strip.outer_end)
            mixed = before + cleaned * (after - before)
            mixed = livelier(mixed, base.rows(strip.outer_start, strip.outer_end), strength)
            if picture.gray:
                mixed = np.repeat(mixed.mean(axis=2, keepdims=True), 3, axis=2)
            canvas.fill(strip.inner(), slice(0, picture.width), _levels(mixed[strip.inner_of_outer()]))
        return Outcome(
            canvas.finished(),
            checks={"noise": round(found.light * 255, 1), "jpeg_blocks": round(found.blocks.step * 255, 1)},
        )

    def _change(self, picture: Picture, found: Findings, watch: Watch) -> Field:
        """Return what the network and the smoothing of colours change, as far as they are believed."""
        small = working_copy(picture, working_size(picture, _NETWORK_PIXELS))
        smooth = smooth_colors(small, found.blocks.step) if found.blocks.step else small
        restored = np.empty_like(small)
        plan = list(tiles(*small.shape[:2], size=TILE, overlap=OVERLAP))
        sketch = Canvas.over(replace(picture, rgb=_levels(small)))
        for done, tile in enumerate(plan):
            watch.report(done / len(plan), sketch.preview)
            low = np.ascontiguousarray(smooth[tile.outer()])
            high = cv2.resize(self.network.forward(low), low.shape[1::-1], interpolation=cv2.INTER_AREA)
            restored[tile.inner()] = high[tile.inner_of_outer()]
            sketch.fill(*tile.inner(), _levels((low + found.trust * (high - low))[tile.inner_of_outer()]))
        # Slow changes of colour are the photograph's own; the network shifts them.
        change = restored - smooth
        change -= cv2.GaussianBlur(change, (0, 0), _SLOW)
        return Field.over(found.trust * change + (smooth - small), picture.height, picture.width)


def load(volume: Path, *, threads: int) -> LightRestorer:
    """Load the network from the model volume. Raises EngineUnavailable, naming the file that is missing or wrong."""
    network = upscale_light.load(volume, threads=threads)
    return LightRestorer(network, network.weights_sha256)


def _shares(picture: Picture, found: Findings) -> tuple[float, float]:
    """Return how far the work is once the picture is clean, and once the network is through: by processor seconds."""
    megapixels = picture.width * picture.height / 1e6
    planes = (found.light > 0) + 2 * (found.color > 0)
    cleaning = 0.0 if found.clean else (0.15 + 0.35 * planes) * megapixels
    restoring, finishing = 13 * min(megapixels, _NETWORK_PIXELS / 1e6), megapixels
    whole = cleaning + restoring + finishing
    return cleaning / whole, (cleaning + restoring) / whole


def measure(picture: Picture) -> Findings:
    """Measure the middle of the picture, at its own resolution: shrunk, it would have less of everything."""
    shrink = min(1.0, (_MEASURED_PIXELS / (picture.height * picture.width)) ** 0.5)
    high, wide = int(picture.height * shrink), int(picture.width * shrink)
    top, left = (picture.height - high) // 2 // damage.BLOCK * damage.BLOCK, (picture.width - wide) // 2
    left = left // damage.BLOCK * damage.BLOCK
    middle = opaque_pixels(picture, (slice(top, top + high), slice(left, left + wide)))
    light, red, blue = _planes(middle)
    return Findings(
        light=max(0.0, damage.noise(light) - _NO_NOISE),
        color=max(0.0, max(damage.noise(red), damage.noise(blue)) - _NO_NOISE),
        blocks=damage.blocks(light),
    )


def clean_up(picture: Picture, found: Findings, watch: Watch) -> Picture:
    """Take noise and blocks out of a picture, strip by strip."""
    canvas = Canvas.over(picture)
    for strip in canvas.strips(watch, overlap=_OVERLAP):
        light, red, blue = _planes(opaque_pixels(picture, (strip.outer(), slice(None))))
        if found.blocks.step:
            light = damage.without_blocks(light, found.blocks, top=strip.outer_start)
        light = _without_noise(light, _LIGHT_SHARE * found.light)
        planes = [light, *(_without_noise(color, _COLOR_SHARE * found.color) for color in (red, blue))]
        rgb = cv2.cvtColor(cv2.merge(planes), cv2.COLOR_YCrCb2RGB)[strip.inner_of_outer()]
        canvas.fill(strip.inner(), slice(0, picture.width), _levels(np.asarray(rgb, np.float32)))
    return canvas.finished()


def _planes(pixels: Floats) -> list[Floats]:
    """Return light, red and blue difference of sRGB: float32, 0 to 1."""
    return [np.asarray(plane, np.float32) for plane in cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))]


def _levels(values: Floats) -> NDArray[np.uint8]:
    return np.asarray(np.rint(values.clip(0, 1) * 255), np.uint8)


def _without_noise(plane: Floats, level: float) -> Floats:
    if level <= 0:
        return plane
    return np.asarray(cv2.fastNlMeansDenoising(_levels(plane), None, level * 255, _WINDOW, _SEARCH), np.float32) / 255


def smooth_colors(pixels: Floats, step: float) -> Floats:
    """
    Smooth the colours of JPEG blocks, which are twice as wide as those of light, up to the picture's edges.

    pixels: float32 (height, width, 3), 0 to 1. step: see damage.Blocks.
    """
    light, red, blue = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb))
    # Halved, light keeps colours apart without freezing the grain of its own.
    joined = cv2.merge([0.5 * cv2.GaussianBlur(light, (0, 0), 1.0), red, blue])
    _, red, blue = cv2.split(cv2.bilateralFilter(joined, 0, 6 * step, 5.0))
    return np.asarray(cv2.cvtColor(cv2.merge([light, red, blue]), cv2.COLOR_YCrCb2RGB), np.float32)


def livelier(colors: Floats, base: Floats, strength: float) -> Floats:
    """Raise what stands out from its surroundings, fine edges and the colours; base is the light without detail."""
    light = colors @ np.array([0.299, 0.587, 0.114], np.float32)
    detail = light - base
    # Large steps are contrast enough already, and near black and white there is no room.
    raised = _CONTRAST * detail * np.exp(-np.abs(detail) / 0.12) * (4 * light * (1 - light)).clip(0, 1)
    fine = light - cv2.GaussianBlur(light, (0, 0), 1.0)
    raised += _SHARPENING * fine * np.exp(-np.abs(fine) / 0.05)
    gray = light[..., None]
    return np.asarray(gray + (1 + _LIVELINESS * strength) * (colors - gray) + strength * raised[..., None], np.float32)


def _base(picture: Picture) -> Field:
    """Return the light of the picture without its detail: a guided filter of the light by itself."""
    small = working_copy(picture, working_size(picture, _CONTRAST_PIXELS)) @ np.array([0.299, 0.587, 0.114], np.float32)
    radius = max(2, round(0.02 * max(small.shape)))
    size = (2 * radius + 1,) * 2

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.blur(values, size, borderType=cv2.BORDER_REFLECT), np.float32)

    average = mean(small)
    variance = mean(small * small) - average**2
    slope = variance / (variance + 0.01)
    base = mean(slope) * small + mean((1 - slope) * average)
    return Field.over(base, picture.height, picture.width)
