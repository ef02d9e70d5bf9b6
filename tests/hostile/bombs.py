"""Small files that claim, unpack to, or cost far more than they are."""

from __future__ import annotations

import struct
import zlib

from PIL import Image

from tests.hostile.builders import (
    NEARLY_THIRTY_MEGABYTES,
    File,
    chunk,
    encoded,
    exif,
    gif_with,
    jpeg_of_size,
    jpeg_with,
    lies_about_its_size,
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


def bmp_of_size(width: int, height: int) -> bytes:
    return (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 200, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(146)
    )


def gif_of_size(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x08\x02\x00\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame + b";"


def claims(width: int, height: int) -> dict[str, File]:
    """Return a file of each format that claims a size and has next to no pixels."""
    few = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return {
        "png": lambda: png(width, height, parts=few),
        "jpeg": lambda: jpeg_of_size(width, height),
        "gif": lambda: gif_of_size(width, height),
        "webp": lambda: riff((b"VP8X", webp_canvas(width, height)), (b"VP8L", webp_payload())),
        "bmp": lambda: bmp_of_size(width, height),
        "tiff": lambda: tiff(tiff_entries(width, height, size=64)).ljust(464, b"\0"),
        "heic": lambda: lies_about_its_size("HEIF", (64, 64), (width, height)),
        "avif": lambda: lies_about_its_size("AVIF", (64, 64), (width, height)),
    }


def zeros(size: int) -> bytes:
    """Return zeros, compressed a thousandfold."""
    packer, piece = zlib.compressobj(9), bytes(2**20)
    start = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    # What was flushed stands for itself, so that once is enough; the checksum at the end is wrong.
    again = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + again * (size // 2**20 - 1) + packer.flush()


def png_of_zeros(width: int, height: int) -> bytes:
    packer, row = zlib.compressobj(9), bytes(1 + 3 * width)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png(width, height, parts=chunk(b"IDAT", pixels))


def tiff_of_zeros(width: int, height: int) -> bytes:
    pixels = zlib.compress(bytes(width * height), 9)
    entries = [entry for entry in tiff_entries(width, height, size=len(pixels)) if entry[0] != 259]
    return tiff(sorted([*entries, (259, 3, 1, 8)])).ljust(400, b"\0") + pixels


def animated(kind: str, side: int, frames: int) -> bytes:
    """Return an animation of plain frames, which differ so that none is left out."""
    first, *others = (Image.new("P" if kind == "GIF" else "RGB", (side, side), number) for number in range(frames))
    return encoded(kind, first, save_all=True, append_images=others, duration=50)


def jpeg_of_scans(side: int, scans: int) -> bytes:
    """Return a progressive JPEG that refines the same nothing again and again."""
    whole = encoded("JPEG", Image.new("RGB", (side, side)), progressive=True)
    last = whole.rfind(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * scans + whole[-2:]


def full(part: bytes) -> bytes:
    """Return a part, as often as fits into an upload."""
    return part * (NEARLY_THIRTY_MEGABYTES // len(part))


def exif_of_fractions() -> bytes:
    """Return EXIF whose capture data, behind its first directory of one entry, is one long list."""
    count = NEARLY_THIRTY_MEGABYTES // 8 - 20
    inner = struct.pack("<HHHIII", 1, 0x829A, 5, count, 100, 0)
    return exif((0x8769, 4, 1, 26), tail=inner.ljust(74, b"\0") + bytes(8 * count))


def tiff_of_directories(count: int) -> bytes:
    """Return a TIFF with a long chain of directories behind the first."""
    start = 400 + 64 * 64
    links = (struct.pack("<HI", 0, start + 6 * (number + 1)) for number in range(count))
    return small_tiff(follow=start, tail=b"".join(links))


BOMBS: dict[str, File] = {
    **{f"header of 60,000 x 60,000: {kind}": file for kind, file in claims(60_000, 60_000).items() if kind != "webp"},
    "header of 16,383 x 16,383: webp": claims(16_383, 16_383)["webp"],
    "header of all that 24 bits can say: webp": claims(65_535, 65_535)["webp"],
    "header of all that 31 bits can say: png": lambda: png(2**31 - 1, 2**31 - 1),
    **{f"header of 49 megapixels: {kind}": file for kind, file in claims(7_000, 7_000).items()},
    "header of a long thin one: png": lambda: png(20_000, 32, parts=chunk(b"IDAT", zlib.compress(bytes(1000)))),
    "84 megapixels of zeros: png": lambda: png_of_zeros(12_000, 7_000),
    "49 megapixels of zeros: tiff": lambda: tiff_of_zeros(7_000, 7_000),
    "240 megapixels in 60 frames: gif": lambda: animated("GIF", 2_000, 60),
    "pixels of 24 megapixels behind a header of 64 x 64: avif": lambda: lies_about_its_size(
        "AVIF", (6_000, 4_000), (64, 64)
    ),
    "pixels of 3 megapixels behind a header of 64 x 64: heic": lambda: lies_about_its_size(
        "HEIF", (2_000, 1_500), (64, 64)
    ),
    "frame beyond its canvas: webp": lambda: riff(
        (b"VP8X", webp_canvas(64, 64)), (b"VP8L", webp_payload(Image.new("RGB", (4_000, 4_000))))
    ),
    "frame beyond its screen: gif": lambda: gif_of_size(64, 64).replace(
        struct.pack("<HH", 64, 64) + b"\0\x08", struct.pack("<HH", 60_000, 60_000) + b"\0\x08"
    ),
    "a gigabyte in a text: png": lambda: png_with(chunk(b"zTXt", b"Comment\0\0" + zeros(2**30))),
    "a gigabyte in an international text: png": lambda: png_with(
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros(2**30))
    ),
    "a hundred texts of a megabyte: png": lambda: png_with(
        *[chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**20 - 2**10)))] * 100
    ),
    "a gigabyte in a profile: png": lambda: png_with(chunk(b"iCCP", b"x\0\0" + zeros(2**30))),
    "thousands of profiles: png": lambda: png_with(chunk(b"iCCP", b"x\0\0" + zeros(2**20)) * 20_000),
    "29 megabytes of a profile: webp": lambda: riff(
        (b"VP8X", webp_canvas(120, 80, 0x20)), (b"ICCP", bytes(NEARLY_THIRTY_MEGABYTES)), (b"VP8L", webp_payload())
    ),
    "millions of fractions for an exposure: png": lambda: png_with(chunk(b"eXIf", exif_of_fractions()[6:])),
    "an orientation of millions: png": lambda: png_with(
        chunk(b"eXIf", exif((0x0112, 3, 14_000_000, 30), tail=bytes(28_000_100))[6:])
    ),
    "thousands of tags that are the same 14 megabytes: png": lambda: png_with(
        chunk(b"eXIf", exif(*((tag, 7, 14_000_000, 0) for tag in range(40_000)), tail=bytes(14_000_000))[6:])
    ),
    "thousands of scans: jpeg": lambda: jpeg_of_scans(2_000, 5_000),
    "as many scans as are taken: jpeg": lambda: jpeg_of_scans(2_000, 54),
    "empty chunks: png": lambda: png_with(full(chunk(b"teSt"))),
    "empty pixels: png": lambda: png_with(full(chunk(b"IDAT"))),
    "padding: jpeg": lambda: jpeg_with(full(b"\xff")),
    "junk: jpeg": lambda: jpeg_with(full(b"junk")),
    "empty comments: jpeg": lambda: jpeg_with(full(segment(0xFE))),
    "empty exif: jpeg": lambda: jpeg_with(full(segment(0xE1, b"Exif\0\0"))),
    "padding: gif": lambda: gif_with(full(b"\0")),
    "pieces of one byte: gif": lambda: gif_with(b"!\xfe" + full(b"\1a") + b"\0"),
    "29 megabytes of a comment: gif": lambda: gif_with(b"!\xfe" + full(b"\xff" + b"a" * 255) + b"\0"),
    "empty chunks: webp": lambda: (
        riff((b"VP8X", webp_canvas(120, 80)), (b"VP8L", webp_payload())) + full(b"teSt\0\0\0\0")
    ),
    "empty boxes: heic": lambda: encoded("HEIF") + full(b"\0\0\0\x08free"),
    "empty boxes inside another: avif": lambda: (
        encoded("AVIF") + struct.pack(">I", NEARLY_THIRTY_MEGABYTES + 8) + b"meta" + full(b"\0\0\0\x08free")
    ),
    "thousands of directories: tiff": lambda: tiff_of_directories(100_000),
    "65,000 tags: tiff": lambda: tiff(
        [*tiff_entries(64, 64, place=800_000), *((tag, 4, 1, 0) for tag in range(500, 65_500))]
    ).ljust(804_096, b"\0"),
    "millions of strips: tiff": lambda: tiff(
        [entry if entry[0] not in {273, 279} else (entry[0], 4, 3_000_000, 400) for entry in tiff_entries(64, 64)]
    ).ljust(12_000_400, b"\0"),
    "a depth for each of millions of channels: tiff": lambda: tiff(
        [entry if entry[0] != 258 else (258, 3, 7_000_000, 5_000) for entry in tiff_entries(64, 64)]
    ).ljust(14_005_000, b"\0"),
}
