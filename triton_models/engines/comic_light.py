"""
Draw a photograph as a comic: ink lines over flat colour. No network, no weights.

Lines are the flow-based XDoG (Winnemoeller, Kyprianidis, Olsen 2012, "XDoG: an eXtended difference-of-Gaussians
compendium"; the flow as in Kang, Lee, Chui 2009, "Flow-based image abstraction"), colours an iterated bilateral filter
with soft quantisation of the lightness (Winnemoeller, Olsen, Gooch 2006, "Real-time video abstraction"). Both are found
on a copy of bounded size and thresholded at the picture's own: lines are as wide and as crisp at twelve megapixels as
at one, and it makes no difference where the picture is cut into strips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from triton_models.canvas import Canvas
from triton_models.engines import Outcome
from triton_models.fields import Field, working_copy, working_size

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from triton_models.images import Picture
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch

    Floats = NDArray[np.float32]

NAME = "xdog"
VERSION = "1"
_WORK_PIXELS = 1_500_000
_INK = np.array([0.055, 0.050, 0.075], np.float32)
# Of the difference of Gaussians: 1.6 is closest to the Laplacian (Marr & Hildreth 1980); the sharpening is the paper's.
_RATIO = 1.6
_SHARPENING = 18.0
_SOFTNESS = 9.0
# In lightness of 0 to 1: where ink begins in the light, what is black anyway, and how much darker than its
# surroundings ink must be in the dark.
_THRESHOLD, _BLACK, _DARKER_THAN_AROUND = 0.42, 0.07, 0.7


@dataclass(frozen=True, eq=False)
class Drawing:
    """response: the XDoG, ink where it is below 0. colors: smoothed CIELAB, L 0 to 100."""

    response: Field
    colors: Field


@dataclass(frozen=True)
class LightInker:
    """XDoG over edge-preserving colour."""

    weights_sha256: str = ""
    name: str = NAME
    version: str = VERSION
    uses: frozenset[str] = frozenset({"strength", "line_weight", "flatness"})
    seconds_per_megapixel: float = 0.5

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        strength = parameters.strength or 0.0
        watch.report(0.0)
        drawing = draw(picture, parameters.line_weight, parameters.flatness, watch.part(0.0, 0.5))
        canvas = Canvas.over(picture)
        for strip in canvas.strips(watch.part(0.5, 1.0)):
            before = picture.rgb[strip.inner()].astype(np.float32) / 255
            colors = paint(drawing.colors.rows(strip.start, strip.end), parameters.flatness)
            ink = ink_of(drawing.response.rows(strip.start, strip.end))[..., None]
            # Both run ahead of the strength, lines further, or a half drawn picture looks like a double exposure.
            mixed = before + (1 - (1 - strength) ** 1.6) * (colors - before)
            mixed = mixed + (1 - (1 - strength) ** 2.5) * ink * (_INK - mixed)
            if picture.gray:
                mixed = np.repeat(mixed.mean(axis=2, keepdims=True), 3, axis=2)
            canvas.fill(strip.inner(), slice(0, picture.width), np.rint(mixed * 255).astype(np.uint8))
        return Outcome(canvas.finished())


def load(_volume: Path, *, threads: int) -> LightInker:  # noqa: ARG001 - every engine is loaded alike
    return LightInker()


def draw(picture: Picture, line_weight: float, flatness: float, watch: Watch) -> Drawing:
    """Find lines and colours on a copy of the picture; line_weight and flatness are from 0 to 1."""
    size = working_size(picture, _WORK_PIXELS)
    small = working_copy(picture, size)
    watch.report(0.1)
    lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float32)
    unit = max(0.45, (size[0] * size[1] / _WORK_PIXELS) ** 0.5)
    for turn in range(2 + round(3 * flatness)):
        lab = np.asarray(cv2.bilateralFilter(lab, 0, 7.0 + 7.0 * flatness, 3.0 * unit), np.float32)
        watch.report(0.1 + 0.12 * turn)
        if turn == 1:
            light = lab[..., 0] / 100
    response = xdog(light, sigma=unit * (0.7 + 1.6 * line_weight), watch=watch.part(0.7, 1.0)) - _threshold(light)
    shape = picture.height, picture.width
    return Drawing(Field.over(response, *shape), Field.over(lab, *shape))


def xdog(light: Floats, *, sigma: float, watch: Watch) -> Floats:
    """
    Return the difference of Gaussians across the lines, smoothed along them; low where there is ink.

    light: float32 (height, width), 0 to 1. sigma: of the inner Gaussian, in pixels, about half the width of a line.
    """
    along = _flow(light, 2.5 * sigma)
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    inner = _line_blur(light, across, sigma)
    watch.report(0.3)
    outer = _line_blur(light, across, _RATIO * sigma)
    watch.report(0.6)
    difference = inner + _SHARPENING * (inner - outer)
    return _line_blur(difference, along, 3.0 * sigma)


def _threshold(light: Floats) -> Floats:
    """Return where ink begins: lower in the dark, or a night would be one pool of it."""
    around = cv2.GaussianBlur(light, (0, 0), 0.02 * max(light.shape))
    return np.asarray((_DARKER_THAN_AROUND * around).clip(_BLACK, _THRESHOLD), np.float32)


def ink_of(response: Floats) -> Floats:
    """Return how much ink there is, 0 to 1: the paper's soft threshold."""
    return np.asarray(-np.tanh(_SOFTNESS * np.minimum(response, 0.0)), np.float32)


def paint(lab: Floats, flatness: float) -> Floats:
    """Return sRGB, 0 to 1, of smoothed CIELAB: lightness in soft steps, colours livelier."""
    steps = 14.0 - 8.0 * flatness
    width = 100.0 / steps
    nearest = np.floor(lab[..., 0] / width) * width + width / 2
    stepped = nearest + width / 2 * np.tanh((lab[..., 0] - nearest) / width * 2 * (1 + 3 * flatness))
    lively = lab.copy()
    lively[..., 0] = (stepped * 1.06 + 2).clip(0, 100)
    lively[..., 1:] *= 1.3
    return np.asarray(cv2.cvtColor(lively, cv2.COLOR_LAB2RGB).clip(0, 1), np.float32)


def _flow(light: Floats, sigma: float) -> Floats:
    """Return the direction of the edges, unit vectors (height, width, 2): along the smoothed structure tensor."""
    across, down = cv2.Scharr(light, cv2.CV_32F, 1, 0), cv2.Scharr(light, cv2.CV_32F, 0, 1)
    xx, xy, yy = (cv2.GaussianBlur(product, (0, 0), sigma) for product in (across * across, across * down, down * down))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.asarray(np.stack([np.cos(angle), np.sin(angle)], axis=-1), np.float32)


def _line_blur(values: Floats, direction: Floats, sigma: float) -> Floats:
    """Blur every pixel along a line of its own through it."""
    height, width = values.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    reach = max(1, int(np.ceil(2.5 * sigma)))
    total, weights = values.copy(), 1.0
    for step in range(1, reach + 1):
        weight = float(np.exp(-(step**2) / (2 * sigma**2)))
        for way in (step, -step):
            total += weight * cv2.remap(
                values,
                x + way * direction[..., 0],
                y + way * direction[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
        weights += 2 * weight
    return np.asarray(total / weights, np.float32)
