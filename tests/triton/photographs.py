"""Real photographs, encoded as a camera would."""

import io
import struct
import zlib

import numpy as np
from PIL import Image
from skimage import data


def astronaut() -> Image.Image:
    return Image.fromarray(data.astronaut())


def coffee() -> Image.Image:
    return Image.fromarray(data.coffee())


def cat() -> Image.Image:
    return Image.fromarray(data.chelsea())


def jpeg(photograph: Image.Image) -> bytes:
    return _saved(photograph, "JPEG", quality=92)


def png(photograph: Image.Image) -> bytes:
    return _saved(photograph, "PNG")


def small(photograph: Image.Image, width: int) -> Image.Image:
    return photograph.resize((width, width * photograph.height // photograph.width), Image.Resampling.BOX)


def opened(encoded: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(encoded))
    picture.load()
    return picture


def alpha(picture: Image.Image) -> np.ndarray:
    """Return the alpha channel, float (height, width), 0 to 1."""
    return np.asarray(picture.getchannel("A"), float) / 255


def png_that_claims(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header promises that many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()
