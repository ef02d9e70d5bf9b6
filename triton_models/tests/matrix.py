"""
The same scene in every format, colour and orientation that a file may hold it in.

A disc of four colours on a light ground: it tells left from right and top from bottom, and is a subject to cut out.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, PngImagePlugin
from skimage.color import deltaE_ciede2000, rgb2lab

from triton_models.tests.pictures import encoded
from triton_models.tests.profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    WIDE,
    WIDE_HLG,
    WIDE_PQ,
    Space,
    gray_pixels_of,
    gray_profile,
)

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 64, 48
GROUND = (228, 226, 220)
# Inside sRGB by a margin, so that no colour space on the way has to cut one off.
COLOURS = ((196, 62, 52), (58, 142, 82), (52, 84, 170), (214, 178, 72))
ALPHAS = (255, 200, 128, 64)
# The middle of each quarter of the disc, as parts of width and height: top left, top right, bottom left, bottom right.
PLACES = ((0.38, 0.36), (0.62, 0.36), (0.38, 0.64), (0.62, 0.64))
SECRET = "SECRET of the photographer"
ORIENTATIONS = range(1, 9)
_ORIENTATION, _DESCRIPTION, _ARTIST = 0x0112, 0x010E, 0x013B
# What turns the upright scene into the pixels that a file with this tag holds (EXIF 2.32, 4.6.4).
_STORED: dict[int, tuple[Image.Transpose, ...]] = {
    1: (),
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_270,),
}


@dataclass(frozen=True)
class Kind:
    """
    A format and the pixels in it.

    write: the stored pixels (uint8, height, width, 4: sRGB and alpha) and the tags -> the file.
    colours: what is seen in the four places. bound: CIEDE2000, for what the format itself loses. turns: the format
    has a place for the orientation. alphas: what is left of ALPHAS, where there is transparency.
    """

    name: str
    write: Callable[[np.ndarray, Image.Exif], bytes]
    colours: tuple[tuple[int, int, int], ...] = COLOURS
    bound: float = 1.0
    turns: bool = True
    alphas: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return self.name

    def file(self, orientation: int = 1) -> bytes:
        stored = Image.fromarray(scene())
        for turn in _STORED[orientation]:
            stored = stored.transpose(turn)
        return self.write(np.asarray(stored), private_tags(orientation))


def scene() -> np.ndarray:
    """Return the scene, upright: uint8 (HEIGHT, WIDTH, 4)."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    disc = ((columns - WIDTH / 2 + 0.5) / 20) ** 2 + ((rows - HEIGHT / 2 + 0.5) / 18) ** 2 <= 1
    quarter = 2 * (rows >= HEIGHT / 2) + (columns >= WIDTH / 2)
    pixels = np.empty((HEIGHT, WIDTH, 4), np.uint8)
    pixels[..., :3] = np.where(disc[..., None], np.array(COLOURS)[quarter], GROUND)
    pixels[..., 3] = np.where(disc, np.array(ALPHAS)[quarter], 255)
    return pixels


def private_tags(orientation: int) -> Image.Exif:
    """Return EXIF with what people do not mean to publish, and what would lie about the result."""
    exif = Image.Exif()
    exif[_ORIENTATION], exif[_DESCRIPTION], exif[_ARTIST] = orientation, SECRET, "Ada"
    exif[ExifTags.IFD.Exif] = {0x927C: SECRET.encode(), 0x829A: 0.01}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (51.0, 30.0, 0.0)}
    return exif


def seen_in_places(rgb: np.ndarray) -> np.ndarray:
    """Return the median colour around each of the four places: (4, channels)."""
    height, width = rgb.shape[:2]
    reach = max(1, min(height, width) // 24)
    boxes = [(round(y * height), round(x * width)) for x, y in PLACES]
    return np.array([np.median(rgb[y - reach : y + reach, x - reach : x + reach], axis=(0, 1)) for y, x in boxes])


def differences(rgb: np.ndarray, colours: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    """Return the CIEDE2000 between a picture's four places and what they should show."""
    seen, expected = (rgb2lab(np.asarray(values, float)[None] / 255) for values in (seen_in_places(rgb), colours))
    return np.asarray(deltaE_ciede2000(seen, expected)[0])


def gray_of(colours: tuple[tuple[int, int, int], ...]) -> tuple[tuple[int, int, int], ...]:
    return tuple((int(value),) * 3 for value in _luma(np.array(colours, np.uint8)))


def _luma(rgb: np.ndarray) -> np.ndarray:
    # Pillow's own weights (ITU-R BT.601), as the files are written by Pillow.
    return np.asarray(Image.fromarray(np.atleast_3d(rgb.reshape(-1, 1, 3))).convert("L")).reshape(rgb.shape[:-1])


def _plain(format_: str, mode: str, **options: Any) -> Callable[[np.ndarray, Image.Exif], bytes]:
    def write(pixels: np.ndarray, exif: Image.Exif) -> bytes:
        image = Image.fromarray(pixels)
        opaque = image.convert("RGB")
        converted = {
            "RGBA": lambda: image,
            "LA": lambda: _with_alpha(opaque.convert("L"), image),
            "P": lambda: opaque.quantize(8),
        }.get(mode, lambda: opaque.convert(mode))()
        return _saved(converted, format_, exif, **options)

    return write


def _with_alpha(image: Image.Image, source: Image.Image) -> Image.Image:
    image.putalpha(source.getchannel("A"))
    return image


def _saved(image: Image.Image, format_: str, exif: Image.Exif, **options: Any) -> bytes:
    if format_ in {"BMP", "GIF"}:
        return encoded(image, format_, **({"comment": SECRET} if format_ == "GIF" else {}), **options)
    if format_ == "HEIF":
        # Only from here does it write the rotation into the container, as phones do.
        image.info["exif"] = exif.tobytes()
        return encoded(image, format_, quality=95, chroma=444, **options)
    if format_ == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", SECRET)
        options["pnginfo"] = texts
    if format_ == "JPEG":
        options |= {"quality": 96, "subsampling": 0, "comment": SECRET}
    if format_ in {"WEBP", "AVIF"}:
        options |= {"quality": 95}
    if format_ == "AVIF":
        options |= {"subsampling": "4:4:4"}
    return encoded(image, format_, exif=exif.tobytes(), **options)


def _wide(format_: str, space: Space) -> Callable[[np.ndarray, Image.Exif], bytes]:
    def write(pixels: np.ndarray, exif: Image.Exif) -> bytes:
        values = np.rint(space.pixels_of(pixels[..., :3] / 255) * 255).astype(np.uint8)
        return _saved(Image.fromarray(values), format_, exif, icc_profile=space.profile())

    return write


def _gray_of_gamma(format_: str) -> Callable[[np.ndarray, Image.Exif], bytes]:
    def write(pixels: np.ndarray, exif: Image.Exif) -> bytes:
        values = np.rint(gray_pixels_of(_luma(pixels[..., :3]) / 255, 1.8) * 255).astype(np.uint8)
        return _saved(Image.fromarray(values), format_, exif, icc_profile=gray_profile(1.8))

    return write


def _by_code_points(format_: str, space: Space) -> Callable[[np.ndarray, Image.Exif], bytes]:
    """Say the colours with three numbers (ITU-T H.273) instead of a profile."""
    primaries, transfer = CODE_POINTS[space]

    def write(pixels: np.ndarray, exif: Image.Exif) -> bytes:
        image = Image.fromarray(np.rint(space.pixels_of(pixels[..., :3] / 255) * 255).astype(np.uint8))
        if format_ == "HEIF":
            return _saved(image, format_, exif, color_primaries=primaries, transfer_characteristics=transfer)
        whole = _saved(image, format_, exif)
        if format_ == "PNG":
            return whole[:33] + _chunk(b"cICP", bytes([primaries, transfer, 0, 1])) + whole[33:]
        said = whole.index(b"colrnclx") + 8
        return whole[:said] + struct.pack(">HH", primaries, transfer) + whole[said + 4 :]

    return write


def _gray_of_sixteen_bits(format_: str) -> Callable[[np.ndarray, Image.Exif], bytes]:
    def write(pixels: np.ndarray, exif: Image.Exif) -> bytes:
        values = _luma(pixels[..., :3]).astype(np.uint16) * 257
        return _saved(Image.frombytes("I;16", values.shape[::-1], values.astype("<u2").tobytes()), format_, exif)

    return write


def _png_of_sixteen_bits(channels: int) -> Callable[[np.ndarray, Image.Exif], bytes]:
    """Write what Pillow reads and cannot write: two bytes for each channel."""

    def write(pixels: np.ndarray, exif: Image.Exif) -> bytes:
        height, width = pixels.shape[:2]
        rows = (pixels[..., :channels].astype(">u2") * 257).astype(">u2")
        lines = b"".join(b"\0" + row.tobytes() for row in rows)
        header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
        chunks = ((b"IHDR", header), (b"eXIf", exif.tobytes()[6:]), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)

    return write


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _tiff_of_sixteen_bits(pixels: np.ndarray, exif: Image.Exif) -> bytes:
    height, width = pixels.shape[:2]
    values = (pixels[..., :3].astype("<u2") * 257).astype("<u2").tobytes()
    # tag, type, count, value or place: one strip behind the directory and its three depths.
    start = 8 + 2 + 10 * 12 + 4
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, start),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, start + 6),
        (_ORIENTATION, 3, 1, int(exif[_ORIENTATION])),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, len(values)),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + struct.pack("<3H", 16, 16, 16) + values


def _heic_of_ten_bits(pixels: np.ndarray, exif: Image.Exif) -> bytes:
    height, width = pixels.shape[:2]
    values = pixels[..., :3].astype(np.uint16) * 257
    file = pillow_heif.from_bytes("RGB;16", (width, height), values.tobytes())
    file.info["exif"] = exif.tobytes()
    buffer = io.BytesIO()
    file.save(buffer, quality=95, chroma=444, bit_depth=10)
    return buffer.getvalue()


def _bmp_with_alpha(pixels: np.ndarray, _exif: Image.Exif) -> bytes:
    height, width = pixels.shape[:2]
    values = np.ascontiguousarray(pixels[::-1, :, [2, 1, 0, 3]]).tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(values), 0, 0, 0, 0)
    header += struct.pack("<4I", *masks) + bytes(108 - 40 - 16)
    return b"BM" + struct.pack("<IHHI", 122 + len(values), 0, 0, 122) + header + values


def _gif_with_a_hole(pixels: np.ndarray, exif: Image.Exif) -> bytes:
    holed = pixels.copy()
    holed[..., 3] = np.where(pixels[..., 3] < 100, 0, 255)
    return _saved(Image.fromarray(holed), "GIF", exif)


CODE_POINTS = {DISPLAY_P3: (12, 13), WIDE: (9, 13), WIDE_PQ: (9, 16), WIDE_HLG: (9, 18)}
_LOSSY = 2.5
_GRAYS = gray_of(COLOURS)
_HOLED = tuple(255 * (alpha >= 100) for alpha in ALPHAS)
KINDS = (
    *(Kind(f"{f.lower()} rgb", _plain(f, "RGB")) for f in ("PNG", "TIFF")),
    *(Kind(f"{f.lower()} rgb", _plain(f, "RGB"), bound=_LOSSY) for f in ("JPEG", "WEBP", "HEIF", "AVIF")),
    *(Kind(f"{f.lower()} gray", _plain(f, "L"), _GRAYS) for f in ("PNG", "TIFF")),
    *(Kind(f"{f.lower()} gray", _plain(f, "L"), _GRAYS, bound=_LOSSY) for f in ("JPEG", "HEIF", "AVIF")),
    *(
        Kind(f"{f.lower()} gray of gamma 1.8", _gray_of_gamma(f), _GRAYS, bound=bound)
        for f, bound in (("PNG", 1.0), ("TIFF", 1.0), ("JPEG", _LOSSY))
    ),
    *(Kind(f"{f.lower()} palette", _plain(f, "P")) for f in ("PNG", "TIFF")),
    Kind("jpeg cmyk", _plain("JPEG", "CMYK"), bound=_LOSSY),
    Kind("tiff cmyk", _plain("TIFF", "CMYK")),
    *(Kind(f"{f.lower()} 16-bit gray", _gray_of_sixteen_bits(f), _GRAYS) for f in ("PNG", "TIFF")),
    Kind("png 16-bit rgb", _png_of_sixteen_bits(3)),
    Kind("png 16-bit rgba", _png_of_sixteen_bits(4), alphas=ALPHAS),
    Kind("tiff 16-bit rgb", _tiff_of_sixteen_bits),
    Kind("heif 10-bit rgb", _heic_of_ten_bits, bound=_LOSSY),
    *(Kind(f"{f.lower()} alpha", _plain(f, "RGBA"), alphas=ALPHAS) for f in ("PNG", "TIFF")),
    *(Kind(f"{f.lower()} alpha", _plain(f, "RGBA"), alphas=ALPHAS, bound=_LOSSY) for f in ("WEBP", "HEIF", "AVIF")),
    *(Kind(f"{f.lower()} gray alpha", _plain(f, "LA"), _GRAYS, alphas=ALPHAS) for f in ("PNG", "TIFF")),
    *(
        Kind(f"{f.lower()} {space.name}", _wide(f, space), bound=bound)
        for f, bound in (
            ("PNG", 1.0),
            ("TIFF", 1.0),
            ("JPEG", _LOSSY),
            ("WEBP", _LOSSY),
            ("HEIF", _LOSSY),
            ("AVIF", _LOSSY),
        )
        for space in (DISPLAY_P3, ADOBE_RGB)
    ),
    *(
        # Eight bits of a high dynamic range, a part of which is all this scene needs, are coarse.
        Kind(
            f"{f.lower()} {space.name} by code points",
            _by_code_points(f, space),
            bound=bound + (space in {WIDE_PQ, WIDE_HLG}),
        )
        for f, bound in (("PNG", 1.0), ("HEIF", _LOSSY), ("AVIF", _LOSSY))
        for space in CODE_POINTS
    ),
    # These two have no place for an orientation.
    Kind("bmp rgb", _plain("BMP", "RGB"), turns=False),
    Kind("bmp gray", _plain("BMP", "L"), _GRAYS, turns=False),
    Kind("bmp palette", _plain("BMP", "P"), turns=False),
    Kind("bmp alpha", _bmp_with_alpha, turns=False, alphas=ALPHAS),
    Kind("gif palette", _plain("GIF", "P"), turns=False),
    Kind("gif gray", _plain("GIF", "L"), _GRAYS, turns=False),
    Kind("gif alpha", _gif_with_a_hole, turns=False, alphas=_HOLED),
)
EVERY = tuple((kind, orientation) for kind in KINDS for orientation in (ORIENTATIONS if kind.turns else (1,)))
