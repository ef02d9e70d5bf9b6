"""What a file's header says, and whether we take it: checked before anything is stored, without decoding a pixel."""

from __future__ import annotations

import io
import math
import struct
import unicodedata
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pillow_heif
from PIL import Image, UnidentifiedImageError

from jobs.errors import (
    BadFilename,
    BadSide,
    EmptyFile,
    FileTooLarge,
    ImageMissing,
    IncompleteImage,
    InvalidParameters,
    NotAnImage,
    SeveralImages,
    TooManyPixels,
)
from jobs.operations import MAX_FILENAME, MEGAPIXEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.core.files.uploadedfile import UploadedFile
    from django.utils.datastructures import MultiValueDict

    from jobs.operations import Limits, Operation

pillow_heif.register_heif_opener()

# Pillow opens more than forty formats; each is attack surface, and the model server reads only these.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF")
READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC and AVIF"
_ORIENTATION = 0x0112
# Of the formats we write, those that cannot hold every result: libjpeg's own limit, and WebP's 14 bits.
_LARGEST_SIDE = {"jpeg": 65_500, "webp": 16_383}
# Bytes of one value of each type of a TIFF's directory.
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
# The file ends inside its own header, says nonsense, or trips one of Pillow's own limits.
_UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    # The AVIF decoder's word for anything it does not like.
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True)
class Upload:
    """A file that we take: its bytes, and from its header the upright width and height in pixels."""

    filename: str
    content: bytes
    width: int
    height: int
    format: str  # lower case: jpeg, png, webp, tiff, bmp, gif, heif, avif

    @property
    def pixels(self) -> int:
        return self.width * self.height


def the_file(files: MultiValueDict[str, UploadedFile[Any]], *, limits: Limits) -> tuple[bytes, str]:
    """
    Return the one uploaded photo and its name.

    Raises ImageMissing, SeveralImages, EmptyFile or FileTooLarge.
    """
    sent = [file for name in files for file in files.getlist(name)]
    if len(sent) > 1:
        raise SeveralImages
    file = files.get("image")
    if file is None:
        raise ImageMissing
    check_size(file.size or 0, limits=limits)
    return file.read(), file.name or ""


def inspect(content: bytes, *, filename: str, limits: Limits) -> Upload:
    """
    Return what the header of an encoded image says.

    Raises BadFilename, EmptyFile, FileTooLarge, NotAnImage, IncompleteImage, TooManyPixels or BadSide.
    """
    check_filename(filename)
    check_size(len(content), limits=limits)
    kind, width, height = _read_header(content)
    if width * height > limits.max_pixels:
        raise TooManyPixels(
            f"The photo has {_megapixels(width * height)} megapixels; "
            f"at most {limits.max_pixels / MEGAPIXEL:,.0f} are allowed.",
        )
    for side in (width, height):
        if not limits.min_side <= side <= limits.max_side:
            raise BadSide(
                f"The photo is {width:,} x {height:,} pixels; each side must have "
                f"{limits.min_side:,} to {limits.max_side:,}.",
            )
    if not _is_complete(kind, content):
        raise IncompleteImage("The file ends too early: part of the photo is missing. Was the transfer cut off?")
    return Upload(filename=filename, content=content, width=width, height=height, format=kind.lower())


def check_filename(filename: str) -> None:
    """Raise BadFilename for a name that is a path, too long, or not printable."""
    if len(filename) > MAX_FILENAME:
        raise BadFilename(f"The file's name has {len(filename)} characters; at most {MAX_FILENAME} are allowed.")
    # Control characters only: str.isprintable() would refuse the thin space in the names of macOS screenshots.
    if filename in {"", ".", ".."} or any(c in "/\\" or unicodedata.category(c) == "Cc" for c in filename):
        raise BadFilename("The file's name may not contain path or control characters; send the bare name.")


def check_size(size: int, *, limits: Limits) -> None:
    """Raise EmptyFile or FileTooLarge; size in bytes."""
    if size == 0:
        raise EmptyFile
    if size > limits.max_bytes:
        raise FileTooLarge(
            f"The file has {_tenths_up(size, 2**20)} MB; at most {limits.max_bytes / 2**20:,.0f} MB are allowed.",
        )


def check_output(upload: Upload, *, operation: Operation, params: Mapping[str, object], limits: Limits) -> None:
    """
    Hold the result's size, known before anything is made, against what we make and what its format can hold.

    Raises TooManyPixels or, for a format that was asked for and is too small, InvalidParameters.
    """
    width, height = operation.output_size(upload.width, upload.height, params)
    if width * height > limits.max_output_pixels:
        raise TooManyPixels(
            f"The result would have {_megapixels(width * height)} megapixels; "
            f"at most {limits.max_output_pixels / MEGAPIXEL:,.0f} are made. "
            f"The photo has {_megapixels(upload.pixels)}: send a smaller one"
            + (" or a smaller scale." if "scale" in params else "."),
        )
    most = _LARGEST_SIDE.get(str(params.get("format")), math.inf)
    if max(width, height) > most:
        sentence = (
            f"The result would be {width:,} x {height:,} pixels, and a file of this format has at most {most:,} on a "
            "side: take png, or auto, which chooses one that fits."
        )
        raise InvalidParameters({"format": [sentence]})


def _megapixels(pixels: int) -> str:
    return _tenths_up(pixels, MEGAPIXEL)


def _tenths_up(number: int, unit: int) -> str:
    # Rounded up: one byte too many must not read "30.0 MB; at most 30 MB".
    return f"{math.ceil(number * 10 / unit) / 10:,.1f}"


def _read_header(content: bytes) -> tuple[str, int, int]:
    with _reading(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        kind, (width, height) = str(image.format), image.size
        # A JPEG with more pictures behind its own, as phones write them; only the first is read.
        kind = "JPEG" if kind == "MPO" else kind
        return kind, *((height, width) if _turned(image) else (width, height))


def _is_complete(kind: str, content: bytes) -> bool:
    with _reading():
        return _COMPLETE[kind](content)


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever the library says of a file that it cannot read into our own refusals."""
    try:
        with warnings.catch_warnings():
            # It warns of every oddity of a TIFF; and of a size beyond its own limit, which is higher than ours.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels("The photo's header claims more pixels than any photo we take.") from error
    except _UNREADABLE as error:
        raise NotAnImage(f"This is not an image we can read. We take {READABLE}.") from error


def _turned(image: Image.Image) -> bool:
    """Tell whether the EXIF orientation swaps the sides."""
    if image.format == "TIFF":
        # Pillow has swapped them itself, since it turns a TIFF while loading.
        return False
    # Not image.getexif(): for a PNG without EXIF before its pixels that decodes the whole picture.
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif") or b"")
        tag = exif.get(_ORIENTATION)
    except _UNREADABLE:
        return False
    return tag in {5, 6, 7, 8}


def _jpeg_complete(content: bytes) -> bool:
    # A thumbnail inside EXIF has an end marker of its own: look only behind the start of the picture's own scan.
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            return False
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker == 0xDA:
            return content.rfind(b"\xff\xd9") > position
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
            continue
        position += 2 + int.from_bytes(content[position + 2 : position + 4])
    return False


def _png_complete(content: bytes) -> bool:
    position = 8
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4])
        if content[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + length
    return False


def _webp_complete(content: bytes) -> bool:
    return int.from_bytes(content[4:8], "little") + 8 <= len(content)


def _gif_complete(content: bytes) -> bool:
    # Block by block (GIF89a, appendix A): the byte that ends the file may stand anywhere among the pixels, too.
    position = 13 + _gif_colors(content[10:11])
    while (kind := content[position : position + 1]) in {b"!", b",", b"\0"}:
        if kind == b"\0":
            # Padding, which some programs write between blocks.
            position += 1
            continue
        if kind == b"!":
            position += 2
        else:
            position += 11 + _gif_colors(content[position + 9 : position + 10])
        while length := int.from_bytes(content[position : position + 1]):
            position += 1 + length
        position += 1
    return kind == b";"


def _gif_colors(flags: bytes) -> int:
    """Return the bytes of the colour table that these flags announce."""
    packed = int.from_bytes(flags)
    return 3 << (packed & 7) + 1 if packed & 0x80 else 0


def _bmp_complete(content: bytes) -> bool:
    with Image.open(io.BytesIO(content), formats=["BMP"]) as image:
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


def _tiff_complete(content: bytes) -> bool:
    with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
        tags = image.tag_v2  # type: ignore[attr-defined]
        offsets = tags.get(273) or tags.get(324) or ()
        counts = tags.get(279) or tags.get(325) or ()
    if not all(isinstance(number, int) for number in (*offsets, *counts)):
        raise ValueError("The places of the pixels are not numbers.")
    strips = (offset + count for offset, count in zip(offsets, counts, strict=False))
    return bool(offsets) and max((*strips, *_tiff_values(content))) <= len(content)


def _tiff_values(content: bytes) -> Iterator[int]:
    """
    Yield where each value of the first directory ends (TIFF 6.0, section 2; BigTIFF).

    Pillow leaves out a value that is cut off, and only the decoder would miss it: a colour profile, a JPEG's tables.
    """
    order, big = "<" if content[:1] == b"I" else ">", content[2] == 43
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    number = struct.Struct(order + ("Q" if big else "H"))
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)
    (entries,) = number.unpack_from(content, start)
    for position in range(start + number.size, start + number.size + entries * entry.size, entry.size):
        _, kind, count, offset = entry.unpack_from(content, position)
        size = count * _TIFF_SIZES.get(kind, 0)
        # A small one stands in the entry itself.
        yield offset + size if size > (8 if big else 4) else position + entry.size


def _boxes_complete(content: bytes) -> bool:
    boxes = dict(_boxes(content))
    # Cut between two boxes, every box that is left is whole: the one with the pixels must be among them.
    return (b"mdat" in boxes or b"idat" in content) and all(end <= len(content) for end in boxes.values())


def _boxes(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each top-level ISO base media box (ISO/IEC 14496-12): its type and where it ends, a cut one too far."""
    position = 0
    while position + 8 <= len(content):
        size = int.from_bytes(content[position : position + 4])
        if size == 1:
            size = int.from_bytes(content[position + 8 : position + 16])
        kind = content[position + 4 : position + 8]
        if size == 0:
            # It reaches to the end of the file, wherever that is.
            yield kind, len(content)
            return
        position += max(size, 8)
        yield kind, position


_COMPLETE: Mapping[str, Callable[[bytes], bool]] = {
    "JPEG": _jpeg_complete,
    "PNG": _png_complete,
    "WEBP": _webp_complete,
    "GIF": _gif_complete,
    "BMP": _bmp_complete,
    "TIFF": _tiff_complete,
    "HEIF": _boxes_complete,
    "AVIF": _boxes_complete,
}
