"""What a file's header says, and whether we take it: checked before anything is stored, without decoding a pixel."""

from __future__ import annotations

import math
import struct
import unicodedata
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pillow_heif
from PIL import Image, UnidentifiedImageError

from jobs import av1, ranges, structure
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
    from collections.abc import Iterator, Mapping

    from django.core.files.uploadedfile import UploadedFile
    from django.utils.datastructures import MultiValueDict

    from jobs.operations import Limits, Operation
    from jobs.ranges import Encoded

pillow_heif.register_heif_opener()

# Pillow opens more than forty formats; each is attack surface, and the model server reads only these.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF")
READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC and AVIF"
_ORIENTATION = 0x0112
# Of the formats we write, those that cannot hold every result: libjpeg's own limit, and WebP's 14 bits.
_LARGEST_SIDE = {"jpeg": 65_500, "webp": 16_383}
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
    # Its asserts hold for files that somebody meant to be read.
    AssertionError,
    ArithmeticError,
    LookupError,
    TypeError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True)
class Upload:
    """A file that we take: its bytes, and from its header the upright width and height in pixels."""

    filename: str
    content: Encoded
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


def inspect(content: Encoded, *, filename: str, limits: Limits) -> Upload:
    """
    Return what the header of an encoded image says.

    Raises BadFilename, EmptyFile, FileTooLarge, NotAnImage, IncompleteImage, TooManyPixels or BadSide.
    """
    check_filename(filename)
    check_size(len(content), limits=limits)
    family = structure.kind_of(content)
    if family is None:
        raise NotAnImage(f"This is not an image we can read. We take {READABLE}.")
    inspected = content
    if family in {"HEIF", "WEBP"}:
        # Their libraries read a file whole, whatever they are asked.
        inspected = content[:]
    # First of all: what follows trusts a file to have no more parts than a photo has.
    with _reading():
        complete = structure.is_complete(family, inspected)
    kind, width, height = _read_header(inspected, family)
    if kind == "AVIF":
        _check_coded_sizes(inspected[:], limits)
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
    if not complete:
        raise IncompleteImage("The file ends too early: part of the photo is missing. Was the transfer cut off?")
    return Upload(filename=filename, content=content, width=width, height=height, format=kind.lower())


def _check_coded_sizes(content: bytes, limits: Limits) -> None:
    with _reading():
        largest = max((width * height for width, height in av1.coded_sizes(content)), default=0)
    if largest > limits.max_pixels:
        raise TooManyPixels(
            f"The photo's pixels are {_megapixels(largest)} megapixels, whatever its header says; "
            f"at most {limits.max_pixels / MEGAPIXEL:,.0f} are allowed.",
        )


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


def _read_header(content: Encoded, family: str) -> tuple[str, int, int]:
    openers = ("HEIF", "AVIF") if family == "HEIF" else (family,)
    with _reading(), Image.open(ranges.as_file(content), formats=openers) as image:
        kind, (width, height) = str(image.format), image.size
        # A JPEG with more pictures behind its own, as phones write them; only the first is read.
        kind = "JPEG" if kind == "MPO" else kind
        return kind, *((height, width) if _turned(image) else (width, height))


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
    # Not image.getexif(): for a PNG without EXIF before its pixels that decodes the whole picture, and it unpacks
    # whatever the tag holds, which may be a list of millions.
    block = (image.info.get("exif") or b"").removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return False
    try:
        (place,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, place)
        directory = struct.iter_unpack(order + "HHIHH", block[place + 2 : place + 2 + 12 * entries])
        # A short stands in the first two bytes of the four.
        turns = [value for tag, _, count, value, _ in directory if (tag, count) == (_ORIENTATION, 1)]
    except struct.error:
        return False
    return bool(turns) and turns[0] in {5, 6, 7, 8}
