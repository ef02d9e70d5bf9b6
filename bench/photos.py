"""Photographs of a wanted size, made from scikit-image's astronaut."""

import io

from PIL import Image
from skimage import data


def jpeg(*, kilobytes: int | None = None, megapixels: float | None = None) -> bytes:
    """Return the astronaut as a JPEG, scaled to about so many kilobytes, or to so many megapixels."""
    picture = Image.fromarray(data.astronaut())
    if megapixels is not None:
        side = int((megapixels * 1_000_000) ** 0.5)
        return _encoded(picture.resize((side, side), Image.Resampling.LANCZOS), quality=90)
    wanted = (kilobytes or 100) * 1000
    side = 512
    while len(_encoded(picture.resize((side, side)), quality=95)) < wanted and side < 4000:
        side += 32
    return _encoded(picture.resize((side, side)), quality=95)


def _encoded(picture: Image.Image, *, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()
