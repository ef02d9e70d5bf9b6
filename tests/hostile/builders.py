"""The formats' own parts, put together by hand where no library would write what a test needs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pillow_heif
from PIL import Image
from skimage import data

pillow_heif.register_heif_opener()

File = Callable[[], bytes]
PHOTO = Image.fromarray(data.coffee()).resize((120, 80))
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF")
NEARLY_THIRTY_MEGABYTES = 29 * 2**20
PNG_START = b"\x89PNG\r\n\x1a\n"


def encoded(kind: str, picture: Image.Image = PHOTO, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes = b"", *, crc: int | None = None) -> bytes:
    checked = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checked)


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, interlace: int = 0, parts: bytes = b"") -> bytes:
    """Return a PNG that claims this size and has these chunks instead of pixels of its own."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return PNG_START + chunk(b"IHDR", header) + parts + chunk(b"IEND")


def png_with(*parts: bytes) -> bytes:
    whole = encoded("PNG")
    return whole[:33] + b"".join(parts) + whole[33:]


def segment(marker: int, content: bytes = b"") -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_with(*parts: bytes, **options: Any) -> bytes:
    whole = encoded("JPEG", **options)
    return whole[:2] + b"".join(parts) + whole[2:]


def jpeg_of_size(width: int, height: int) -> bytes:
    """Return a JPEG whose frame header claims another size than its scan has."""
    whole = bytearray(encoded("JPEG"))
    frame = whole.find(b"\xff\xc0")
    whole[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(whole)


def gif_with(part: bytes, **options: Any) -> bytes:
    whole = encoded("GIF", **options)
    start = 13 + (3 << (whole[10] & 7) + 1)
    return whole[:start] + part + whole[start:]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_canvas(width: int, height: int, flags: int = 0) -> bytes:
    return bytes([flags, 0, 0, 0]) + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]


def webp_payload(picture: Image.Image = PHOTO) -> bytes:
    return encoded("WEBP", picture, lossless=True)[20:]


def tiff(entries: list[tuple[int, int, int, int]], *, follow: int = 0, tail: bytes = b"") -> bytes:
    """Return a little-endian TIFF of one directory; follow: where the next one is. tail starts after the directory."""
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", follow) + tail


def tiff_entries(
    width: int, height: int, *, place: int = 400, size: int | None = None
) -> list[tuple[int, int, int, int]]:
    """Return what an 8-bit gray TIFF must say, its pixels in one strip."""
    size = width * height if size is None else size
    return [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, place),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, size),
    ]


def small_tiff(*more: tuple[int, int, int, int], follow: int = 0, tail: bytes = b"") -> bytes:
    """Return a 64 x 64 TIFF with more entries, its pixels at byte 400, tail behind them."""
    whole = tiff(sorted([*tiff_entries(64, 64), *more]), follow=follow)
    return whole.ljust(400, b"\0") + bytes(range(64)) * 64 + tail


def exif(*entries: tuple[int, int, int, int], tail: bytes = b"", follow: int = 0) -> bytes:
    return b"Exif\0\0" + tiff(list(entries), tail=tail, follow=follow)


def lies_about_its_size(kind: str, coded: tuple[int, int], claimed: tuple[int, int]) -> bytes:
    """Return a HEIC or AVIF whose container claims one size and whose pixels have another."""
    fast: dict[str, Any] = {"speed": 10} if kind == "AVIF" else {"enc_params": {"preset": "ultrafast"}}
    whole = encoded(kind, Image.new("RGB", coded, (90, 120, 60)), quality=10, **fast)
    said = b"ispe" + bytes(4) + struct.pack(">II", *coded)
    if said not in whole:
        raise AssertionError(f"This {kind} says its size in another way.")
    return whole.replace(said, b"ispe" + bytes(4) + struct.pack(">II", *claimed))
