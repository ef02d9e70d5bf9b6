"""
What travels with a picture besides its pixels: EXIF and XMP, taken from the input, rebuilt for the output.

Tags are copied by name from an allow-list, so that nothing gets through which would lie about the new pixels
(orientation, thumbnails, strip offsets) or which nobody asked to publish.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import ExifTags, Image

if TYPE_CHECKING:
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


def read(image: PillowImage) -> Metadata:
    """Collect the metadata of an opened image; what cannot be read is left out."""
    try:
        exif = image.getexif()
        capture = dict(exif.get_ifd(ExifTags.IFD.Exif))
        place = dict(exif.get_ifd(ExifTags.IFD.GPSInfo))
        tags = {int(tag): exif[tag] for tag in _KEPT_TAGS if tag in exif}
    except _BROKEN:
        return NO_METADATA
    kept = {tag: value for tag, value in capture.items() if tag not in _DROPPED_CAPTURE_TAGS}
    return Metadata(tags, kept, place, _xmp(image))


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
