from __future__ import annotations

import io
import struct
import zlib
from typing import Any, NoReturn

import pytest
from PIL import Image
from skimage import data

from jobs import uploads
from jobs.errors import BadUpload, NotAnImage
from jobs.operations import Limits

PHOTO = Image.fromarray(data.coffee()).resize((120, 80))


def encoded(kind: str, picture: Image.Image = PHOTO, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def inspect(content: bytes) -> uploads.Upload:
    return uploads.inspect(content, filename="photo", limits=Limits())


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(*parts: bytes) -> bytes:
    whole = encoded("PNG")
    return whole[:33] + b"".join(parts) + whole[33:]


def jpeg_with(*parts: bytes) -> bytes:
    whole = encoded("JPEG")
    return whole[:2] + b"".join(parts) + whole[2:]


def jpeg_of_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is there again and again, as small as scans get."""
    whole = encoded("JPEG", progressive=True)
    last = whole.rfind(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * count + whole[-2:]


def gif_with(part: bytes) -> bytes:
    whole = encoded("GIF", PHOTO.convert("P"))
    start = 13 + (3 << (whole[10] & 7) + 1)
    return whole[:start] + part + whole[start:]


def webp_with(*parts: bytes) -> bytes:
    body = encoded("WEBP")[12:] + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def tiff_of_many_strips(count: int) -> bytes:
    """Return a TIFF with one long list of places: eight bytes of file for each number, and forty of memory."""
    entries = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, count, 200), (279, 4, 1, 64)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0") + bytes(4 * count)


def segment(marker: int, content: bytes = b"") -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


FAR_TOO_MANY = 60_000
TOO_MANY_PARTS = {
    "empty chunks of a png": lambda: png_with(chunk(b"teSt") * FAR_TOO_MANY),
    "empty pixels of a png": lambda: png_with(chunk(b"IDAT") * FAR_TOO_MANY),
    "profiles of a png, each unpacked anew": lambda: png_with(chunk(b"iCCP", b"x\0\0" + zlib.compress(b"")) * 5),
    "padding of a jpeg": lambda: jpeg_with(b"\xff" * FAR_TOO_MANY),
    "comments of a jpeg": lambda: jpeg_with(segment(0xFE) * FAR_TOO_MANY),
    "pieces of exif, each copied to those before": lambda: jpeg_with(segment(0xE1, b"Exif\0\0") * 65),
    "scans of a jpeg": lambda: jpeg_of_scans(65),
    "tables between the scans of a jpeg": lambda: encoded("JPEG")[:-2] + segment(0xDB) * FAR_TOO_MANY + b"\xff\xd9",
    "padding of a gif": lambda: gif_with(b"\0" * FAR_TOO_MANY),
    "pieces of a gif": lambda: gif_with(b"!\xfe" + b"\1a" * 510_000 + b"\0"),
    "chunks of a webp": lambda: webp_with(b"teSt\0\0\0\0" * FAR_TOO_MANY),
    "numbers of a tiff": lambda: tiff_of_many_strips(1_000_001),
    "boxes of a heic": lambda: encoded("HEIF") + b"\0\0\0\x08free" * FAR_TOO_MANY,
    "boxes of an avif": lambda: encoded("AVIF") + b"\0\0\0\x08free" * FAR_TOO_MANY,
}


class TestAFileOfTooManyParts:
    @pytest.mark.parametrize("what", TOO_MANY_PARTS)
    def test_is_refused_before_a_library_walks_through_them(self, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
        content = TOO_MANY_PARTS[what]()

        def never(*_: object, **__: object) -> NoReturn:
            raise AssertionError("A library was given a file made to keep it busy.")

        monkeypatch.setattr(Image, "open", never)

        with pytest.raises(NotAnImage, match="far more parts than any camera"):
            inspect(content)


class TestBytesBetweenTheParts:
    @pytest.mark.parametrize(
        "content",
        [jpeg_with(b"junk" * 9), jpeg_with(b"\xff\0junk"), jpeg_with(segment(0xF0, b"junk")), gif_with(b"junk")],
        ids=["jpeg", "stuffed", "extension", "gif"],
    )
    def test_are_not_walked_through_one_by_one(self, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "open", None)

        with pytest.raises(NotAnImage):
            inspect(content)


class TestAPhotoOfManyParts:
    """What programs really write."""

    @pytest.mark.parametrize(
        "content",
        [
            jpeg_of_scans(20),
            jpeg_with(segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000)) * 20),
            jpeg_with(*[segment(0xE1, b"Exif\0\0" + bytes(60_000))] * 20),
            png_with(chunk(b"tEXt", b"Title\0x") * 2_000),
            encoded("GIF", save_all=True, append_images=[PHOTO.rotate(turn) for turn in range(1, 60)]),
        ],
        ids=["scans", "profile", "exif", "texts", "frames"],
    )
    def test_is_taken(self, content: bytes) -> None:
        assert inspect(content).width == 120


class TestAFileThatBeginsLikeOneFormatAndGoesOnAsAnother:
    @pytest.mark.parametrize("magic", [b"GIF89a", b"\xff\xd8\xff", b"BM", b"II*\0", b"RIFF....WEBP", b"....ftypheic"])
    def test_is_no_photo(self, magic: bytes) -> None:
        with pytest.raises(BadUpload):
            inspect(magic + encoded("PNG"))
