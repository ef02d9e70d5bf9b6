"""Files that are something else, or something else too."""

from __future__ import annotations

import io
import zipfile

from PIL import Image

from tests.hostile.builders import (
    FORMATS,
    PHOTO,
    File,
    chunk,
    encoded,
    gif_with,
    jpeg_with,
    png_with,
    segment,
    small_tiff,
)

# What must never come out again: a browser, a server or an unpacker might run it.
SCRIPT = b"<script>alert('not a picture')</script>"
PHP = b"<?php system($_GET['c']); ?>"


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("evil.class", SCRIPT + PHP)
    return file.getvalue()


def gif_that_is_javascript() -> bytes:
    # GIF89a/* ... */=1;alert(...): the width is the comment's start, and the trailer comes after the script.
    whole = bytearray(encoded("GIF", Image.new("P", (120, 80))))
    whole[6:8] = b"/*"
    return bytes(whole[:-1]) + b"*/=1;" + SCRIPT + b";"


_OTHER_THINGS: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"\xff",
    "text": b"hello, world",
    "a page": b"<!DOCTYPE html><html>" + SCRIPT,
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'>" + SCRIPT + b"</svg>",
    "svg with entities": b"<!DOCTYPE svg [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><svg>&a;</svg>",
    "pdf": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) (r) file\n",
    "php": PHP,
    "an archive": archive(),
    "a program": b"\x7fELF\x02\x01\x01" + bytes(200),
    "a film": b"\0\0\0\x20ftypisom" + bytes(20) + b"\0\0\0\x10mdat" + bytes(8),
    "photoshop": b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x40\0\0\0\x40\0\x08\0\3" + bytes(500),
    "mvg": b"push graphic-context\nviewbox 0 0 64 64\nfill 'url(https://example.com/a.jpg\"|ls \"-la)'\n",
    "an icon": encoded("ICO", Image.new("RGB", (64, 64))),
    "ppm": encoded("PPM"),
    "tga": encoded("TGA"),
    "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200),
}
DISGUISES: dict[str, File] = {
    **{f"{what} called a photo": lambda content=content: content for what, content in _OTHER_THINGS.items()},
    "a gif that is a script too": gif_that_is_javascript,
    "a gif with a script in it": lambda: gif_with(b"!\xfe" + bytes([len(SCRIPT)]) + SCRIPT + b"\0"),
    "a gif with an archive behind it": lambda: encoded("GIF") + archive(),
    "a jpeg with php in it": lambda: jpeg_with(segment(0xFE, PHP), segment(0xEF, PHP)),
    "a jpeg with an archive behind it": lambda: encoded("JPEG") + archive(),
    "a png with a page in it": lambda: png_with(chunk(b"tEXt", b"Comment\0" + SCRIPT), chunk(b"evIl", PHP)),
    "a png with a page behind it": lambda: encoded("PNG") + SCRIPT,
    "a webp with a page behind it": lambda: encoded("WEBP") + SCRIPT,
    "a tiff with php behind it": lambda: small_tiff(tail=PHP),
    "a bmp with a page behind it": lambda: encoded("BMP") + SCRIPT,
    "a heic with a page behind it": lambda: encoded("HEIF") + b"\0\0\0\x2ffree" + SCRIPT,
    "an avif with a page behind it": lambda: encoded("AVIF") + b"\0\0\0\x2ffree" + SCRIPT,
    "a moving png": lambda: encoded("PNG", save_all=True, append_images=[PHOTO.rotate(90)]),
    "a moving webp": lambda: encoded("WEBP", save_all=True, append_images=[PHOTO.rotate(90)]),
    "a moving gif": lambda: encoded("GIF", save_all=True, append_images=[PHOTO.rotate(90)]),
    "a moving avif": lambda: encoded("AVIF", save_all=True, append_images=[PHOTO.rotate(90)]),
    **{f"a whole {kind.lower()} under a wrong name": lambda kind=kind: encoded(kind) for kind in FORMATS},
}
