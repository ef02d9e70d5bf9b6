"""Real photographs, small enough that a test can send hundreds of them."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image
from skimage import data

SUBJECTS = ("astronaut", "chelsea", "coffee")


@cache
def photo(side: int = 96, subject: str = "astronaut") -> bytes:
    """Return a square JPEG of one of SUBJECTS."""
    file = io.BytesIO()
    Image.fromarray(getattr(data, subject)()).resize((side, side)).save(file, "JPEG", quality=90)
    return file.getvalue()
