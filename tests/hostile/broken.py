"""Files that are damaged, contradict themselves, or lead a reader around in circles."""

from __future__ import annotations

import struct
import zlib

from PIL import Image

from tests.hostile.builders import (
    FORMATS,
    PHOTO,
    File,
    chunk,
    encoded,
    exif,
    gif_with,
    jpeg_of_size,
    jpeg_with,
    png,
    png_with,
    riff,
    segment,
    small_tiff,
    tiff,
    tiff_entries,
    webp_canvas,
    webp_payload,
)

# Orientation, and where the capture data and the place are.
ORIENTATION, CAPTURE, PLACE = 0x0112, 0x8769, 0x8825
PIXELS = zlib.compress(bytes(64 * (1 + 3 * 64)))
# How a file is damaged: every so manieth byte behind its first hundred, and what becomes of it.
DAMAGE = {"zeros": (97, 0x00), "ones": (131, 0xFF), "few": (1021, 0x55)}


def replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    if old not in content:
        raise AssertionError(f"There is no {old!r} to replace.")
    return content.replace(old, new, 1)


def damaged(kind: str, every: int, value: int) -> bytes:
    content = bytearray(encoded(kind))
    content[100::every] = bytes([value]) * len(content[100::every])
    return bytes(content)


def exif_in_circles() -> bytes:
    # Its first directory starts at byte 8: the capture data, the place and the next directory are that one again.
    return exif((ORIENTATION, 3, 1, 6), (CAPTURE, 4, 1, 8), (PLACE, 4, 1, 8), follow=8)


def jpeg_without(marker: int) -> bytes:
    whole = encoded("JPEG")
    while (start := whole.find(bytes([0xFF, marker]))) != -1:
        (length,) = struct.unpack_from(">H", whole, start + 2)
        whole = whole[:start] + whole[start + 2 + length :]
    return whole


def jpeg_with_two_frames() -> bytes:
    whole = encoded("JPEG")
    frame = whole.find(b"\xff\xc0")
    (length,) = struct.unpack_from(">H", whole, frame + 2)
    second = bytearray(whole[frame : frame + 2 + length])
    second[5:9] = struct.pack(">HH", 7_000, 7_000)
    return whole[:frame] + bytes(second) + whole[frame:]


def adobe(transform: int) -> bytes:
    """Return a CMYK JPEG whose colours the Adobe segment explains in this way: 0 CMYK, 2 YCCK, others do not exist."""
    whole = encoded("JPEG", PHOTO.convert("CMYK"))
    start = whole.find(b"Adobe")
    return whole[: start + 11] + bytes([transform]) + whole[start + 12 :]


_EXIF: dict[str, bytes] = {
    "in circles": exif_in_circles(),
    "with a count of four billion": exif((ORIENTATION, 3, 0xFFFFFFFF, 6)),
    "with an orientation of 99": exif((ORIENTATION, 3, 1, 99)),
    "with an orientation of text": exif((ORIENTATION, 2, 4, 0x36363636)),
    "with an orientation of nothing": exif((ORIENTATION, 3, 0, 0)),
    "with a division by zero": exif((0x011A, 5, 1, 26), tail=bytes(8)),
    "of 65,535 entries that are not there": b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
    "that starts beyond its end": b"Exif\0\0II*\0\xff\xff\xff\x7f",
}
_JPEG: dict[str, File] = {
    "two frame headers: jpeg": jpeg_with_two_frames,
    "no tables for quantisation: jpeg": lambda: jpeg_without(0xDB),
    "no tables for Huffman codes: jpeg": lambda: jpeg_without(0xC4),
    "no components: jpeg": lambda: replaced(encoded("JPEG"), b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x08\x08"),
    "twelve bits: jpeg": lambda: replaced(encoded("JPEG"), b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
    "lossless: jpeg": lambda: replaced(encoded("JPEG"), b"\xff\xc0", b"\xff\xc3"),
    "arithmetic codes: jpeg": lambda: replaced(encoded("JPEG"), b"\xff\xc0", b"\xff\xc9"),
    "restarts that never come: jpeg": lambda: jpeg_with(segment(0xDD, b"\0\1")),
    "a segment of no length: jpeg": lambda: jpeg_with(b"\xff\xe5\0\0"),
    "CMYK: jpeg": lambda: adobe(0),
    "YCCK: jpeg": lambda: adobe(2),
    "colours explained in a way that there is not: jpeg": lambda: adobe(77),
    "a second picture: mpo": lambda: encoded("MPO", save_all=True, append_images=[PHOTO.rotate(90)]),
    "a profile in pieces out of order: jpeg": lambda: jpeg_with(
        segment(0xE2, b"ICC_PROFILE\0\x02\x02" + bytes(100)), segment(0xE2, b"ICC_PROFILE\0\x09\x02" + bytes(100))
    ),
}
_PNG: dict[str, File] = {
    "a wrong checksum of its header: png": lambda: png_with()[:29] + bytes(4) + png_with()[33:],
    "a wrong checksum of its pixels: png": lambda: png(64, 64, parts=chunk(b"IDAT", PIXELS, crc=1)),
    "pixels that are not zlib: png": lambda: png(64, 64, parts=chunk(b"IDAT", b"x" * 900)),
    "pixels that break off: png": lambda: png(64, 64, parts=chunk(b"IDAT", PIXELS[:-9])),
    "too many pixels: png": lambda: png(64, 64, parts=chunk(b"IDAT", zlib.compress(bytes(10**6)))),
    "a filter that there is not: png": lambda: png(
        64, 64, parts=chunk(b"IDAT", zlib.compress((b"\x09" + bytes(192)) * 64))
    ),
    "no palette: png": lambda: png(64, 64, colour=3, parts=chunk(b"IDAT", zlib.compress(bytes(65 * 64)))),
    "a palette of one byte: png": lambda: png(
        64, 64, colour=3, parts=chunk(b"PLTE", b"x") + chunk(b"IDAT", zlib.compress(bytes(65 * 64)))
    ),
    "three bits: png": lambda: png(64, 64, depth=3, parts=chunk(b"IDAT", PIXELS)),
    "a colour type that there is not: png": lambda: png(64, 64, colour=5, parts=chunk(b"IDAT", PIXELS)),
    "interlaced in a way that there is not: png": lambda: png(64, 64, interlace=9, parts=chunk(b"IDAT", PIXELS)),
    "a length beyond the file: png": lambda: encoded("PNG")[:33] + b"\x7f\xff\xff\xfftEXt" + encoded("PNG")[33:],
    "frames of which none comes: png": lambda: png_with(chunk(b"acTL", struct.pack(">II", 0xFFFF, 0))),
    "a frame beyond the picture: png": lambda: png_with(
        chunk(b"acTL", struct.pack(">II", 2, 0)),
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 9, 9, 1, 1, 0, 0)),
    ),
    "a transparent colour too long: png": lambda: png_with(chunk(b"tRNS", bytes(9_999))),
    "gamma of zero: png": lambda: png_with(chunk(b"gAMA", bytes(4)), chunk(b"cHRM", bytes(32))),
}
_TIFF: dict[str, File] = {
    "a directory that follows itself: tiff": lambda: small_tiff(follow=8),
    "capture data that is the picture: tiff": lambda: small_tiff((CAPTURE, 4, 1, 8), (PLACE, 4, 1, 8)),
    "directories inside that are itself: tiff": lambda: small_tiff((330, 4, 1, 8)),
    "pixels beyond the file: tiff": lambda: tiff(tiff_entries(64, 64, place=10**9)),
    "pixels that are the header: tiff": lambda: tiff(tiff_entries(64, 64, place=0)).ljust(8_000, b"\0"),
    "no size: tiff": lambda: tiff(tiff_entries(64, 64)[2:]).ljust(8_000, b"\0"),
    "a width twice: tiff": lambda: tiff([(256, 4, 1, 60_000), *tiff_entries(64, 64)]).ljust(8_000, b"\0"),
    "rows of no height: tiff": lambda: tiff(
        [(tag, kind, count, 0 if tag == 278 else value) for tag, kind, count, value in tiff_entries(64, 64)]
    ).ljust(8_000, b"\0"),
    "tiles of no size: tiff": lambda: small_tiff((322, 4, 1, 0), (323, 4, 1, 0), (324, 4, 1, 400), (325, 4, 1, 4_096)),
    "sixty thousand bits: tiff": lambda: tiff(
        [(tag, kind, count, 60_000 if tag == 258 else value) for tag, kind, count, value in tiff_entries(64, 64)]
    ).ljust(8_000, b"\0"),
    **{
        f"pixels packed as {code} that are not: tiff": lambda code=code: tiff(
            [(tag, kind, count, code if tag == 259 else value) for tag, kind, count, value in tiff_entries(64, 64)]
        ).ljust(8_000, b"x")
        for code in (2, 3, 4, 5, 6, 7, 8, 32773, 34712, 34925, 50000, 50001, 9)
    },
}
_OTHERS: dict[str, File] = {
    "no frame: gif": lambda: b"GIF89a@\0@\0\0\0\0;",
    "codes of 200 bits: gif": lambda: b"GIF89a@\0@\0\0\0\0,\0\0\0\0@\0@\0\0\xc8\2\0\1\0;",
    "codes before the first: gif": lambda: (
        b"GIF89a@\0@\0\x80\0\0" + bytes(6) + b",\0\0\0\0@\0@\0\0\2\4\xff\xff\xff\xff\0;"
    ),
    "a comment that never ends: gif": lambda: gif_with(b"!\xfe" + b"\xff" * 9_000),
    "alpha that is not there: webp": lambda: riff((b"VP8X", webp_canvas(120, 80, 0x10)), (b"VP8L", webp_payload())),
    "an animation without frames: webp": lambda: riff((b"VP8X", webp_canvas(120, 80, 0x02)), (b"ANIM", bytes(6))),
    "a canvas and nothing: webp": lambda: riff((b"VP8X", webp_canvas(120, 80))),
    "pixels that are not: webp": lambda: riff((b"VP8 ", b"\0\0\0\x9d\x01\x2a@\0@\0" + bytes(900))),
    "upside down: bmp": lambda: encoded("BMP")[:22] + struct.pack("<i", -80) + encoded("BMP")[26:],
    "a height of the smallest number: bmp": lambda: (
        encoded("BMP")[:22] + struct.pack("<i", -(2**31)) + encoded("BMP")[26:]
    ),
    "a palette of four billion: bmp": lambda: (
        encoded("BMP", PHOTO.convert("P"))[:46] + b"\xff" * 4 + encoded("BMP", PHOTO.convert("P"))[50:]
    ),
    "packed pixels that run over: bmp": lambda: (
        b"BM"
        + struct.pack("<IHHI", 2_000, 0, 0, 1_078)
        + struct.pack("<IiiHHIIiiII", 40, 64, 64, 1, 8, 1, 922, 0, 0, 256, 0)
        + bytes(1024)
        + b"\xff\1" * 461
    ),
    "no bits: bmp": lambda: encoded("BMP")[:28] + b"\0\0" + encoded("BMP")[30:],
    "no primary picture: heic": lambda: replaced(encoded("HEIF"), b"pitm", b"free"),
    "no places of its parts: heic": lambda: replaced(encoded("HEIF"), b"iloc", b"free"),
    "no places of its parts: avif": lambda: replaced(encoded("AVIF"), b"iloc", b"free"),
    "no configuration: avif": lambda: replaced(encoded("AVIF"), b"av1C", b"free"),
    "pixels of the other kind: heic": lambda: replaced(encoded("HEIF"), b"hvc1", b"av01"),
}
_NO_SIZE: dict[str, File] = {
    "no width: png": lambda: png(0, 64, parts=chunk(b"IDAT", PIXELS)),
    "no height: png": lambda: png(64, 0, parts=chunk(b"IDAT", PIXELS)),
    "no width: jpeg": lambda: jpeg_of_size(0, 64),
    "no height: jpeg": lambda: jpeg_of_size(64, 0),
    "no size: gif": lambda: b"GIF89a\0\0\0\0\0\0\0,\0\0\0\0\0\0\0\0\0\2\2\4\1\0;",
    "no width: bmp": lambda: encoded("BMP")[:18] + bytes(4) + encoded("BMP")[22:],
    "of no width: tiff": lambda: tiff(tiff_entries(0, 64)).ljust(8_000, b"\0"),
    "no size in its box: avif": lambda: replaced(encoded("AVIF"), struct.pack(">II", 120, 80), bytes(8)),
    "no size in its box: heic": lambda: (
        replaced(encoded("HEIF"), struct.pack(">II", 128, 128), bytes(8))
        if struct.pack(">II", 128, 128) in encoded("HEIF")
        else replaced(encoded("HEIF"), struct.pack(">II", 120, 80), bytes(8))
    ),
    "one pixel: png": lambda: encoded("PNG", Image.new("RGB", (1, 1))),
}
BROKEN: dict[str, File] = {
    **{f"exif {what}: jpeg": lambda block=block: jpeg_with(segment(0xE1, block)) for what, block in _EXIF.items()},
    **{f"exif {what}: png": lambda block=block: png_with(chunk(b"eXIf", block[6:])) for what, block in _EXIF.items()},
    **{
        f"damage, {how}: {kind.lower()}": lambda kind=kind, how=how: damaged(kind, *DAMAGE[how])
        for kind in FORMATS
        for how in DAMAGE
    },
    **_JPEG,
    **_PNG,
    **_TIFF,
    **_OTHERS,
    **_NO_SIZE,
}
