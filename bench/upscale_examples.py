"""
Draw docs/upscale-x4plus.jpg: two photographs reduced to a quarter and enlarged again, each in four ways.

    .venv-models/bin/python -m bench.upscale_examples docs/upscale-x4plus.jpg
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from bench.one_upscale import network
from triton_models import weights
from triton_models.devices import choose
from triton_models.engines import Engine, real_esrgan, upscale_light
from triton_models.images import Picture
from triton_models.parameters import Parameters
from triton_models.progress import Watch

# What to show of each: left, top, right, bottom.
PHOTOS = {"astronaut": (150, 0, 342, 192), "coffee": (300, 120, 492, 312)}
HEADS = ("Lanczos", "realesr-animevideov3 (light)", "realesrgan-x4plus", "the photograph itself")
SIDE, GAP, HEAD = 288, 4, 26
QUALITY = 82


def through(engine: Engine, small: Image.Image) -> Image.Image:
    watch = Watch(lambda _fraction, _preview: None, lambda: False)
    return Image.fromarray(engine.run(Picture(np.asarray(small)), Parameters(), watch).picture.rgb)


def main(target: Path) -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    main_engine = real_esrgan.assemble(network(), choose(), weights_sha256="")
    light = upscale_light.load(weights.model_volume(), threads=2)
    sheet = Image.new("RGB", (len(HEADS) * (SIDE + GAP) - GAP, HEAD + len(PHOTOS) * (SIDE + GAP) - GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for column, head in enumerate(HEADS):
        draw.text((column * (SIDE + GAP) + GAP, 3), head, fill="black", font=font)
    for row, (name, box) in enumerate(PHOTOS.items()):
        photo = Image.fromarray(getattr(data, name)())
        small = photo.resize((photo.width // 4, photo.height // 4), Image.Resampling.BOX)
        lanczos = small.resize(photo.size, Image.Resampling.LANCZOS)
        for column, shown in enumerate((lanczos, through(light, small), through(main_engine, small), photo)):
            cut = shown.crop(box).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(cut, (column * (SIDE + GAP), HEAD + row * (SIDE + GAP)))
    sheet.save(target, quality=QUALITY)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
