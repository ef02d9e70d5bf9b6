from __future__ import annotations

import io

import numpy as np
from PIL import Image

from triton_models.pipeline import Pipeline, Request, Result


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:  # noqa: A002 - Pillow's own word
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def pixels(image: Image.Image | bytes) -> np.ndarray:
    return np.asarray(opened(image) if isinstance(image, bytes) else image).astype(int)


def run(pipeline: Pipeline, image: Image.Image | bytes, **request: object) -> Result:
    content = image if isinstance(image, bytes) else encoded(image)
    return pipeline.run(
        Request(image=content, **request), on_progress=lambda _fraction, _preview: None, is_cancelled=lambda: False
    )
