"""
How a file of each format is put together: whether all of it is there, and whether it has more parts than a photo has.

The libraries that open a file walk through its parts one by one, some in Python and some copying what they have at each
step: a few megabytes of empty parts would hold a thread for half a minute. So the parts are counted before they look.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from PIL import Image

from jobs import ranges
from jobs.errors import NotAnImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jobs.ranges import Encoded

# Far above what any program writes: a PNG of 30 MB in pieces of 8 KB has 4,000, a GIF's pieces have at most 255 bytes.
_MOST_PARTS = 50_000
_MOST_GIF_PARTS = 500_000
# Every scan is a pass over the whole picture, however few bytes it has; progressive cameras and programs write 10.
_MOST_SCANS = 64
# A value of a TIFF becomes a list of Python numbers; 50 megapixels in tiles of 16 x 16 have 200,000.
_MOST_NUMBERS = 1_000_000
# What the libraries unpack again, or copy together, each time it comes: a format allows one, some programs write a few.
_MOST_PROFILES = 4
_MOST_EXIF_PIECES = 64
# Bytes of one value of each type of a TIFF's directory.
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TIFF_BYTES = {1, 2, 6, 7}
# A marker inside a JPEG's scan; 00 is a stuffed byte, D0 to D7 are restarts, FF is padding.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# End of image, and what no baseline or progressive JPEG has: reserved, for extensions, hierarchical.
_NO_SEGMENT = frozenset({0x00, *range(0x02, 0xC0), 0xC8, 0xD9, *range(0xF0, 0xFE)})


def kind_of(content: Encoded) -> str | None:
    """Return the format (Pillow's name) that a file's first bytes stand for, HEIF for an AVIF too; None if unknown."""
    start = content[:16]
    for kind, magic in _MAGIC.items():
        if magic.match(start):
            return kind
    return None


def is_complete(kind: str, content: Encoded) -> bool:
    """
    Tell whether the last part of a file is there.

    Raises NotAnImage for one of more parts than any photo has; ValueError or struct.error for one that says nonsense.
    """
    return _COMPLETE[kind](content)


_MAGIC: Mapping[str, re.Pattern[bytes]] = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM"),
    "TIFF": re.compile(rb"II|MM"),
    "HEIF": re.compile(rb"....ftyp", re.DOTALL),
}


def require_few(count: int) -> None:
    """Raise NotAnImage for more parts than any photo has."""
    _allow(count, _MOST_PARTS)


def _allow(count: int, most: int) -> None:
    if count > most:
        raise NotAnImage(
            "The file is cut into far more parts than any camera or program writes. Save it anew and send that."
        )


def _jpeg_complete(content: Encoded) -> bool:
    # A thumbnail inside EXIF has an end marker of its own: look only behind the start of the picture's own scan.
    scan = _first_scan(content)
    if scan is None:
        return False
    _count_scans(content, scan)
    return ranges.rfind(b"\xff\xd9", content) > scan


def _first_scan(content: Encoded) -> int | None:
    """Return where a JPEG's first scan starts; None where its header breaks off before."""
    position, parts, pieces = 2, 0, 0
    while position + 4 <= len(content):
        first, marker = content[position : position + 2]
        if first != 0xFF or marker in _NO_SEGMENT:
            # The library would go on, byte by byte.
            raise ValueError("Bytes that belong to no segment.")
        if marker == 0xDA:
            return position
        parts += 1
        if marker == 0xFF:
            # No more than would be too many.
            run = content[position : position + _MOST_PARTS + 2]
            padding = len(run) - len(run.lstrip(b"\xff"))
            parts += padding
            position += padding - 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
        else:
            pieces += marker == 0xE1 and content[position + 4 : position + 8] == b"Exif"
            position += 2 + int.from_bytes(content[position + 2 : position + 4])
        _allow(parts, _MOST_PARTS)
        _allow(pieces, _MOST_EXIF_PIECES)
    return None


def _count_scans(content: Encoded, position: int) -> None:
    """Raise NotAnImage for a JPEG of more scans than anybody needs, counted from the first one on to its end."""
    scans = parts = 0
    while (found := ranges.find(_MARKER, content, position)) and found[1] != b"\xff\xd9":
        position = found[0] + 2 + int.from_bytes(content[found[0] + 2 : found[0] + 4])
        scans += found[1] == b"\xff\xda"
        parts += 1
        _allow(scans, _MOST_SCANS)
        _allow(parts, _MOST_PARTS)


def _png_complete(content: Encoded) -> bool:
    position, parts, profiles = 8, 0, 0
    while position + 12 <= len(content):
        kind = content[position + 4 : position + 8]
        if kind == b"IEND":
            return True
        parts += 1
        profiles += kind == b"iCCP"
        _allow(parts, _MOST_PARTS)
        _allow(profiles, _MOST_PROFILES)
        position += 12 + int.from_bytes(content[position : position + 4])
    return False


def _webp_complete(content: Encoded) -> bool:
    position, parts = 12, 0
    while position + 8 <= len(content):
        parts += 1
        _allow(parts, _MOST_PARTS)
        length = int.from_bytes(content[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
    return int.from_bytes(content[4:8], "little") + 8 <= len(content)


def _gif_complete(content: Encoded) -> bool:
    # Block by block (GIF89a, appendix A): the byte that ends the file may stand anywhere among the pixels, too.
    position, parts = 13 + _gif_colors(content[10:11]), 0
    while (kind := content[position : position + 1]) in {b"!", b",", b"\0"}:
        parts += 1
        if kind == b"\0":
            # Padding, which some programs write between blocks.
            _allow(parts, _MOST_PARTS)
            position += 1
            continue
        if kind == b"!":
            position += 2
        else:
            position += 11 + _gif_colors(content[position + 9 : position + 10])
        while length := int.from_bytes(content[position : position + 1]):
            parts += 1
            position += 1 + length
            _allow(parts, _MOST_GIF_PARTS)
        position += 1
    if kind not in {b";", b""}:
        # The library would go on, byte by byte.
        raise ValueError("Bytes that belong to no block.")
    return kind == b";"


def _gif_colors(flags: bytes) -> int:
    """Return the bytes of the colour table that these flags announce."""
    packed = int.from_bytes(flags)
    return 3 << (packed & 7) + 1 if packed & 0x80 else 0


def _bmp_complete(content: Encoded) -> bool:
    with Image.open(ranges.as_file(content), formats=["BMP"]) as image:
        if len(image.tile) == 0:
            return False
        tile = image.tile[0]
        if tile.codec_name != "raw":
            # The rows are packed, and the header says into how many bytes; some programs leave a 0 there.
            size = int.from_bytes(content[34:38], "little")
            return tile.offset + max(size, 1) <= len(content)
        # Every row is padded to four bytes; the stride is the second argument of Pillow's raw decoder.
        stride = int(tile.args[1]) if isinstance(tile.args, tuple) else 0
        return tile.offset + stride * image.height <= len(content)


def _tiff_complete(content: Encoded) -> bool:
    ends = list(_tiff_values(content))
    with Image.open(ranges.as_file(content), formats=["TIFF"]) as image:
        tags = image.tag_v2  # type: ignore[attr-defined]
        offsets = tags.get(273) or tags.get(324) or ()
        counts = tags.get(279) or tags.get(325) or ()
    if not all(isinstance(number, int) for number in (*offsets, *counts)):
        raise ValueError("The places of the pixels are not numbers.")
    strips = (offset + count for offset, count in zip(offsets, counts, strict=False))
    return bool(offsets) and max((*strips, *ends)) <= len(content)


def _tiff_values(content: Encoded) -> Iterator[int]:
    """
    Yield where each value of the first directory ends (TIFF 6.0, section 2; BigTIFF).

    Pillow leaves out a value that is cut off, and only the decoder would miss it: a colour profile, a JPEG's tables.
    """
    order, big = "<" if content[:1] == b"I" else ">", content[2:3] == b"\x2b"
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    number = struct.Struct(order + ("Q" if big else "H"))
    (start,) = struct.unpack(order + ("Q" if big else "I"), content[8:16] if big else content[4:8])
    (entries,) = number.unpack(content[start : start + number.size])
    _allow(entries, _MOST_PARTS)
    for position in range(start + number.size, start + number.size + entries * entry.size, entry.size):
        _, kind, count, offset = entry.unpack(content[position : position + entry.size])
        size = count * _TIFF_SIZES.get(kind, 0)
        _allow(0 if kind in _TIFF_BYTES else count, _MOST_NUMBERS)
        # A small one stands in the entry itself.
        yield offset + size if size > (8 if big else 4) else position + entry.size


def _boxes_complete(content: Encoded) -> bool:
    ends = {kind: end for kind, _, end in boxes(content, 0, len(content))}
    # Cut between two boxes, every box that is left is whole: the one with the pixels must be among them.
    has_pixels = b"mdat" in ends or ranges.rfind(b"idat", content) >= 0
    return has_pixels and all(end <= len(content) for end in ends.values())


def boxes(content: Encoded, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """
    Yield each ISO base media box (ISO/IEC 14496-12) between start and end, not those inside it.

    Its type, and where what it holds starts and ends; the end of a cut one is too far. Raises NotAnImage for too many.
    """
    position, parts = start, 0
    while position + 8 <= end:
        parts += 1
        require_few(parts)
        size, kind, inside = int.from_bytes(content[position : position + 4]), content[position + 4 : position + 8], 8
        if size == 1:
            size, inside = int.from_bytes(content[position + 8 : position + 16]), 16
        if size == 0:
            # It reaches to the end of the file, wherever that is.
            yield kind, position + inside, end
            return
        yield kind, position + inside, position + max(size, inside)
        position += max(size, inside)


_COMPLETE: Mapping[str, Callable[[Encoded], bool]] = {
    "JPEG": _jpeg_complete,
    "PNG": _png_complete,
    "WEBP": _webp_complete,
    "GIF": _gif_complete,
    "BMP": _bmp_complete,
    "TIFF": _tiff_complete,
    "HEIF": _boxes_complete,
}
