"""
Age a photograph as film and paper do: fade, tone, grain, a vignette, dust and scratches. No network, no weights.

Everything that is drawn by chance (grain, stains, scratches) is drawn from the seed on a grid of a fixed size and laid
over the picture, so that a print looks the same whatever its pixels, and however it is cut into strips.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
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
    from triton_models.tiles import Span

    Floats = NDArray[np.float32]

NAME = "film"
VERSION = "1"
# Of the grid that chance draws on: as fine as the grain of a 35 mm negative printed at postcard size.
_GRID_PIXELS = 1_500_000
_GLOW_PIXELS = 60_000
# Rec. 709, as everywhere in sRGB.
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_COLOR_KEPT = 0.55
# Black and white of each dye layer after decades: blue fades first, so blacks go brown and whites cream.
_BLACKS = np.array([0.125, 0.085, 0.075], np.float32)
_WHITES = np.array([0.985, 0.925, 0.800], np.float32)
_SEPIA = np.array([1.10, 0.96, 0.74], np.float32)
_SEPIA_SHARE = 0.35
_CONTRAST = 0.35
_VIGNETTE = 0.36
_GLOW = 0.22
_STAIN = 0.05
_GRAIN = 0.055
_SCRATCHES = 7
_SPECKS = 90


@dataclass(frozen=True, eq=False)
class Print:
    """What lies over a picture: light around highlights, stains, grain, and damage (white above 0, dark below)."""

    glow: Field
    stain: Field
    grain: Field
    damage: Field


@dataclass(frozen=True)
class LightAger:
    """Film and paper, emulated."""

    weights_sha256: str = ""
    name: str = NAME
    version: str = VERSION
    uses: frozenset[str] = frozenset({"strength", "seed"})
    seconds_per_megapixel: float = 0.5

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        strength = parameters.strength or 0.0
        watch.report(0.0)
        seed = _seed_of(picture) if parameters.seed is None else parameters.seed
        layers = lay_print(picture, seed)
        canvas = Canvas.over(picture)
        # Half the strength is to look old already, not like a photograph under dust.
        amount = 1 - (1 - strength) ** 1.6
        for strip in canvas.strips(watch.part(0.15, 1.0)):
            before = picture.rgb[strip.inner()].astype(np.float32) / 255
            after = age(before, layers, strip)
            mixed = before + amount * (after - before)
            canvas.fill(strip.inner(), slice(0, picture.width), np.rint(mixed * 255).astype(np.uint8))
        return Outcome(replace(canvas.finished(), gray=False), chosen={"seed": seed})


def load(_volume: Path, *, threads: int) -> LightAger:  # noqa: ARG001 - every engine is loaded alike
    return LightAger()


def _seed_of(picture: Picture) -> int:
    # From the picture, not from a clock: the same request gives the same bytes.
    return zlib.crc32(np.ascontiguousarray(picture.rgb[::16, ::16]).tobytes())


def lay_print(picture: Picture, seed: int) -> Print:
    """Draw what lies over the picture; a seed gives the same print at every size of the same shape."""
    ratio = (picture.width / picture.height) ** 0.5
    rows, columns = max(2, round(_GRID_PIXELS**0.5 / ratio)), max(2, round(_GRID_PIXELS**0.5 * ratio))
    chance = np.random.default_rng(seed)

    def over(values: Floats) -> Field:
        return Field.over(values, picture.height, picture.width)

    return Print(
        glow=over(_glow(picture)),
        stain=over(_stain(chance)),
        grain=over(_grain(chance, rows, columns)),
        damage=over(_damage(chance, rows, columns)),
    )


def age(colors: Floats, layers: Print, strip: Span) -> Floats:
    """
    Return a strip of rows as the old print shows it, at full strength.

    colors: float32 (rows, width, 3), sRGB, 0 to 1; returns the same.
    """
    glow, stain, grain, damage = (
        layer.rows(strip.start, strip.end)[..., None]
        for layer in (layers.glow, layers.stain, layers.grain, layers.damage)
    )
    colors = np.asarray(1 - (1 - colors) * (1 - _GLOW * glow.clip(0, 1)), np.float32)
    luma = (colors @ _LUMA)[..., None]
    colors = luma + _COLOR_KEPT * (colors - luma)
    colors = colors + _SEPIA_SHARE * (luma * _SEPIA - colors)
    colors = _curved(colors.clip(0, 1))
    shade = 1 - _VIGNETTE * _vignette(layers.grain.height, layers.grain.width, strip)[..., None]
    colors = colors * shade + _STAIN * stain * _SEPIA
    # Grain is clearest in the middle tones and nearly gone in black and white (Newson et al. 2017).
    colors = colors + _GRAIN * grain * (0.35 + 2.6 * luma * (1 - luma))
    faded = _BLACKS + colors.clip(0, 1) * (_WHITES - _BLACKS)
    white, dark = damage.clip(0, 1), (-damage).clip(0, 1)
    faded = faded + white * (_WHITES - faded)
    return np.asarray((faded - dark * (faded - _BLACKS)).clip(0, 1), np.float32)


def _curved(values: Floats) -> Floats:
    """Apply the S of a film's characteristic curve."""
    return np.asarray(values + _CONTRAST * (values * values * (3 - 2 * values) - values), np.float32)


def _vignette(height: int, width: int, strip: Span) -> Floats:
    """Return 0 in the middle and 1 in the corners, for a strip of rows."""
    down = (np.arange(strip.start, strip.end, dtype=np.float64) + 0.5) / height * 2 - 1
    across = (np.arange(width, dtype=np.float64) + 0.5) / width * 2 - 1
    away = ((down**2)[:, None] + across**2) / 2
    return np.asarray(away**1.5, np.float32)


def _glow(picture: Picture) -> Floats:
    """Return the light that spreads from highlights into what lies beside them (halation)."""
    luma = working_copy(picture, working_size(picture, _GLOW_PIXELS)) @ _LUMA
    bright = ((luma - 0.6) / 0.4).clip(0, 1)
    return np.asarray(cv2.GaussianBlur(bright, (0, 0), max(0.5, 0.015 * max(luma.shape))), np.float32)


def _stain(chance: np.random.Generator) -> Floats:
    """Return slow unevenness, about -1 to 1."""
    coarse = chance.standard_normal((4, 5)).astype(np.float32)
    fine = chance.standard_normal((9, 12)).astype(np.float32)
    wide = cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)
    return wide * 0.7 + cv2.resize(fine, (64, 64), interpolation=cv2.INTER_CUBIC) * 0.3


def _grain(chance: np.random.Generator, rows: int, columns: int) -> Floats:
    """Return clumps of a deviation of 1, a grid cell across and more."""
    noise = chance.standard_normal((rows, columns), dtype=np.float32)
    clumps = cv2.GaussianBlur(noise, (0, 0), 0.8) * 2.0 + cv2.GaussianBlur(noise, (0, 0), 1.8) * 2.2
    return np.asarray(clumps / clumps.std(), np.float32)


def _damage(chance: np.random.Generator, rows: int, columns: int) -> Floats:
    """Return scratches and dust: 1 where the layer is scratched off or covered white, -1 where dirt is dark."""
    sheet = np.zeros((rows, columns), np.float32)
    side = max(rows, columns)
    for _ in range(_SCRATCHES):
        x, lean = chance.uniform(0, columns), chance.normal(0, 0.03)
        top, length = chance.uniform(-0.3, 0.9) * rows, chance.uniform(0.08, 0.7) * rows
        wobble = np.cumsum(chance.normal(0, 0.35, 24))
        at = np.linspace(0, length, 24)
        _stroke(sheet, x + lean * at + wobble, top + at, float(chance.uniform(0.12, 0.5)))
    for _ in range(_SPECKS):
        x, y, angle = chance.uniform(0, columns), chance.uniform(0, rows), chance.uniform(0, 2 * np.pi)
        length = side * float(chance.exponential(0.0012)) + 1
        bend = np.cumsum(chance.normal(0, 0.5, 8)) + angle
        steps = np.cumsum(np.stack([np.cos(bend), np.sin(bend)]), axis=1) * length / 8
        strength = float(chance.uniform(0.25, 0.8))
        _stroke(sheet, x + steps[0], y + steps[1], strength if chance.random() < 0.7 else -0.6 * strength)
    return np.asarray(cv2.GaussianBlur(sheet, (0, 0), 0.55), np.float32)


def _stroke(sheet: Floats, x: NDArray[np.float64], y: NDArray[np.float64], value: float) -> None:
    points = np.rint(np.stack([x, y], axis=1) * 16).astype(np.int32)
    cv2.polylines(sheet, [points], isClosed=False, color=(value,), thickness=1, lineType=cv2.LINE_8, shift=4)
