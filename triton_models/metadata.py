"""
What travels with a picture besides its pixels: EXIF and XMP, taken from the input, rebuilt for the output.

Tags are copied by name from an allow-list, so that nothing gets through which would lie about the new pixels
(orientation, thumbnails, strip offsets) or which nobody asked to publish.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import ExifTags, Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image as PillowImage

_Base = ExifTags.Base
_COPYRIGHT_TAGS = (_Base.Artist, _Base.Copyright)
_KEPT_TAGS = (
    *_COPYRIGHT_TAGS,
    *(_Base.ImageDescription, _Base.Make, _Base.Model, _Base.Software, _Base.DateTime, _Base.HostComputer),
    *(_Base.Rating, _Base.XPTitle, _Base.XPComment, _Base.XPAuthor, _Base.XPKeywords, _Base.XPSubject),
)
# Maker notes hold previews of the old pixels and offsets that no longer hold; the interoperability directory names
# the old colour space.
_DROPPED_CAPTURE_TAGS = (_Base.MakerNote, ExifTags.IFD.Interop)
_SRGB = 1
# The most that one JPEG segment holds, less its header.
_LARGEST_SEGMENT = 65_000
# Maker notes among them, which hold previews: cameras write a hundred kilobytes or two.
_HUGE = 2_000_000
_SHORT = 3
_ONE_TURN = (_Base.Orientation, 1)
_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_XMP_ORIENTATION = re.compile(
    rb"""\s*tiff:Orientation\s*=\s*["'][^"']*["']|<tiff:Orientation>[^<]*</tiff:Orientation>"""
)
_XMP_THUMBNAILS = re.compile(rb"<xmp:Thumbnails>.*?</xmp:Thumbnails>", re.DOTALL)

# A broken EXIF block is no reason to refuse the photograph that carries it.
_BROKEN = (OSError, ValueError, SyntaxError, KeyError, IndexError, TypeError, AttributeError)


@dataclass(frozen=True)
class Metadata:
    """Texts and capture data of the input: EXIF tags of the image, of the exposure and of the place; XMP as it came."""

    image_tags: dict[int, Any]
    capture_tags: dict[int, Any]
    place_tags: dict[int, Any]
    xmp: bytes | None


NO_METADATA = Metadata({}, {}, {}, None)


def orientation(image: PillowImage) -> int:
    """
    Return the EXIF orientation of a loaded image, 1 to 8; 1 where it says none, or one that there is not.

    A TIFF has been turned by then. Not Image.getexif(): the tag may be a list of millions, which it would unpack.
    """
    block = _block(image)
    try:
        order, first = _first_directory(block)
        found = [
            (kind, value) for tag, kind, count, value in _entries(block, order, first) if (tag, count) == _ONE_TURN
        ]
    except struct.error:
        return 1
    # A short stands in the first two bytes of the four.
    turns = [value >> 16 if order == ">" and kind == _SHORT else value for kind, value in found]
    return turns[0] if turns and 1 <= turns[0] <= 8 else 1


def read(image: PillowImage, data: bytes) -> Metadata:
    """Collect the metadata of an opened image, whose file is data; what cannot be read or is huge is left out."""
    try:
        if _is_huge(data if image.format == "TIFF" else _block(image)):
            return Metadata({}, {}, {}, _xmp(image))
        exif = image.getexif()
        capture = dict(exif.get_ifd(ExifTags.IFD.Exif))
        place = dict(exif.get_ifd(ExifTags.IFD.GPSInfo))
        tags = {int(tag): exif[tag] for tag in _KEPT_TAGS if tag in exif}
    except _BROKEN:
        return NO_METADATA
    kept = {tag: value for tag, value in capture.items() if tag not in _DROPPED_CAPTURE_TAGS}
    return Metadata(tags, kept, place, _xmp(image))


def _is_huge(block: bytes) -> bool:
    """
    Tell whether a TIFF or an EXIF block has more values beside its picture than we would ever write.

    Pillow makes Python objects of them: thirty megabytes of fractions took half a minute and a gigabyte.
    """
    try:
        order, first = _first_directory(block)
        places = {tag: place for tag, _, _, place in _entries(block, order, first)}
        inner = [places[tag] for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) if tag in places]
        lists = [list(_entries(block, order, place)) for place in inner]
    except struct.error:
        # A BigTIFF is among these: no camera writes one.
        return True
    kept = [entry for entry in _entries(block, order, first) if entry[0] in _KEPT_TAGS]
    return sum(count * _VALUE_BYTES.get(kind, 1) for entries in (kept, *lists) for _, kind, count, _ in entries) > _HUGE


def _block(image: PillowImage) -> bytes:
    block = image.info.get("exif")
    return block.removeprefix(b"Exif\0\0") if isinstance(block, bytes) else b""


def _first_directory(block: bytes) -> tuple[str, int]:
    """Return the byte order and the place of the first directory. Raises struct.error for anything but a TIFF."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        raise struct.error("Not a TIFF.")
    return order, struct.unpack_from(order + "I", block, 4)[0]


def _entries(block: bytes, order: str, place: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield tag, type, count, and value or place, of each entry of a directory (TIFF 6.0, section 2)."""
    (entries,) = struct.unpack_from(order + "H", block, place)
    for number in range(entries):
        tag, kind, count, value = struct.unpack_from(order + "HHII", block, place + 2 + 12 * number)
        yield tag, kind, count, value


def _xmp(image: PillowImage) -> bytes | None:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(packet, str):
        packet = packet.encode()
    return packet if isinstance(packet, bytes) and len(packet) <= _LARGEST_SEGMENT else None


def exif_for_output(metadata: Metadata, policy: str, width: int, height: int) -> bytes | None:
    """
    Build the EXIF block of an output of the given size, in pixels.

    policy: strip | copyright | keep. Returns None when there is nothing to write.
    """
    exif = Image.Exif()
    allowed = {"strip": (), "copyright": _COPYRIGHT_TAGS, "keep": _KEPT_TAGS}[policy]
    for tag in allowed:
        if tag in metadata.image_tags:
            exif[tag] = metadata.image_tags[tag]
    if policy == "keep" and metadata.capture_tags:
        size = {_Base.ExifImageWidth: width, _Base.ExifImageHeight: height, _Base.ColorSpace: _SRGB}
        exif[ExifTags.IFD.Exif] = {**metadata.capture_tags, **size}
    if policy == "keep" and metadata.place_tags:
        exif[ExifTags.IFD.GPSInfo] = metadata.place_tags
    return _serialised(exif) if len(exif) else None


def _serialised(exif: Image.Exif) -> bytes | None:
    try:
        block = exif.tobytes()
    except (*_BROKEN, OverflowError, ArithmeticError):
        return None
    return block if len(block) <= _LARGEST_SEGMENT else None


def xmp_for_output(metadata: Metadata, policy: str) -> bytes | None:
    """Return the XMP packet to write, without orientation and thumbnails; None unless everything is kept."""
    if policy != "keep" or metadata.xmp is None:
        return None
    return _XMP_THUMBNAILS.sub(b"", _XMP_ORIENTATION.sub(b"", metadata.xmp))
