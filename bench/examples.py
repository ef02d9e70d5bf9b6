"""
Draw the contact sheet of the README: five photographs, each through the five operations, by the model server's Python.

    .venv-models/bin/python -m bench.examples docs/examples.jpg

The photographs are scikit-image's own. Two operations show a detail, as it came on the left and as it went on the
right: `upscale` one that was reduced to a quarter, `enhance` one that was given noise and compressed badly.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFont

from triton_models import weights
from triton_models.engines import OPERATIONS
from triton_models.pipeline import Pipeline, Request

Box = tuple[int, int, int, int]

WIDTH, HEIGHT, GAP, HEAD = 300, 225, 6, 26
PAPER, INK = (250, 249, 246), (40, 40, 46)
QUALITY = 82
NOISE, BAD_QUALITY = 9, 35


@dataclass(frozen=True)
class Photo:
    """A file of scikit-image; box: the part to show, 4:3; detail: what two operations show of it, 4:3."""

    file: str
    box: Box
    detail: Box


PHOTOS = (
    Photo("astronaut.png", (0, 0, 512, 384), (130, 20, 338, 176)),
    Photo("coffee.png", (20, 10, 532, 394), (290, 220, 498, 376)),
    Photo("chelsea.png", (20, 0, 420, 300), (90, 50, 298, 206)),
    Photo("motorcycle_left.png", (40, 0, 704, 498), (350, 250, 590, 430)),
    Photo("camera.png", (0, 40, 512, 424), (100, 50, 308, 206)),
)


def opened(file: str) -> Image.Image:
    return Image.open(Path(skimage.__file__).parent / "data" / file).convert("RGB")


def made(operation: str, image: Image.Image, strength: float | None = None) -> Image.Image:
    """Return what an operation's light engine makes of a picture."""
    file = io.BytesIO()
    image.save(file, "PNG")
    pipeline = Pipeline.load(operation, weights.model_volume())
    request = Request(image=file.getvalue(), strength=strength, seed=7, options={"engine": "light"})
    result = pipeline.run(request, on_progress=lambda _fraction, _preview: None, is_cancelled=lambda: False)
    return Image.open(io.BytesIO(result.image))


def enlarged(photo: Image.Image, detail: Box) -> Image.Image:
    truth = photo.crop(detail)
    small = truth.resize((truth.width // 4, truth.height // 4), Image.Resampling.BOX)
    return pair(small.resize(truth.size, Image.Resampling.NEAREST), made("upscale", small))


def restored(photo: Image.Image, detail: Box) -> Image.Image:
    truth = np.asarray(photo.crop(detail))
    noisy = truth + np.random.default_rng(0).normal(0, NOISE, truth.shape)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=BAD_QUALITY)
    spoilt = Image.open(file)
    return pair(spoilt, made("enhance", spoilt, strength=0.8))


def pair(before: Image.Image, after: Image.Image) -> Image.Image:
    """Return the middle of two pictures of the same thing, side by side."""
    both, half = Image.new("RGB", (WIDTH, HEIGHT), PAPER), (WIDTH - 2) // 2
    for left, picture in ((0, before), (half + 2, after)):
        whole = picture.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        middle = (whole.width - half) // 2
        both.paste(whole.crop((middle, 0, middle + half, HEIGHT)), (left, 0))
    return both


def checkered(cut: Image.Image) -> Image.Image:
    """Lay a picture on the squares that stand for transparency."""
    rows, columns = np.indices((cut.height, cut.width)) // 16
    squares = np.where((rows + columns) % 2, 255, 225).astype(np.uint8)
    sheet = Image.fromarray(squares).convert("RGB")
    sheet.paste(cut, mask=cut.getchannel("A"))
    return sheet


def row(photo: Photo) -> list[Image.Image]:
    whole = opened(photo.file)
    shown = whole.crop(photo.box)
    styled = [made(name, shown) for name in ("style_comic", "style_aged")]
    cells = [shown, *styled, checkered(made("background_remove", shown))]
    fitted = [cell.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS) for cell in cells]
    return [fitted[0], enlarged(whole, photo.detail), restored(whole, photo.detail), *fitted[1:]]


def sheet() -> Image.Image:
    titles = ("photo", *(name.replace("_", " ") for name in OPERATIONS))
    size = (GAP + len(titles) * (WIDTH + GAP), HEAD + len(PHOTOS) * (HEIGHT + GAP))
    whole = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(whole)
    for column, title in enumerate(titles):
        left = GAP + column * (WIDTH + GAP)
        pen.text((left, 5), title, INK, font=ImageFont.load_default(15))
    for line, photo in enumerate(PHOTOS):
        for column, cell in enumerate(row(photo)):
            whole.paste(cell, (GAP + column * (WIDTH + GAP), HEAD + line * (HEIGHT + GAP)))
    return whole


if __name__ == "__main__":
    sheet().save(sys.argv[1], quality=QUALITY, optimize=True)
