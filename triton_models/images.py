"""
From bytes to pixels and back: the one place that opens, normalises and encodes images.

Every model gets the same picture from the same file: the formats on our list and no other, upright, sRGB, 8 bits,
transparency apart. Every output is built from pixels and an sRGB profile, so nothing of the input's file slips through.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from triton_models import colour
from triton_models import metadata as meta
from triton_models.errors import ImageTooLarge, ImageTooSmall, InvalidParameter, UnreadableImage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

pillow_heif.register_heif_opener()
ImageFile.LOAD_TRUNCATED_IMAGES = False

_FORMATS = {
    "JPEG": "jpeg",
    "MPO": "jpeg",  # what Pillow calls a JPEG with a second picture behind the first, as phones write
    "PNG": "png",
    "WEBP": "webp",
    "TIFF": "tiff",
    "BMP": "bmp",
    "GIF": "gif",
    "HEIF": "heic",
    "AVIF": "avif",
}
_OPENERS = [name for name in _FORMATS if name != "MPO"]
# What the decoders raise on bytes that are no image, or only the beginning of one; found by fuzzing every format.
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    RuntimeError,
    LookupError,
    TypeError,
    ArithmeticError,
    AssertionError,
    struct.error,
    MemoryError,
)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# How to turn a picture whose EXIF orientation is this (EXIF 2.32, 4.6.4).
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WRITABLE = ("png", "jpeg", "webp")
_LARGEST_SIDE = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}
_DEFAULT_QUALITY = {"jpeg": 92, "webp": 90}
# From here on JPEG keeps full colour resolution: halved, it shows on red edges.
_FULL_CHROMA_QUALITY = 90
# 1 is a third of the time of Pillow's default of 6, for files about a tenth larger.
_PNG_COMPRESSION = 1
WHITE = (255, 255, 255)

_PREVIEW_BYTES = 16 * 1024
PREVIEW_SIDE = 384


@dataclass(frozen=True)
class Limits:
    """What may come in. Sides and pixels of the first frame, which is the only one that is read."""

    pixels: int = 50_000_000
    smallest_side: int = 32
    largest_side: int = 20_000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Header:
    """What a file says of itself before anything is decoded: format (jpeg, png, ...), width and height in pixels."""

    format: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Picture:
    """
    A decoded image.

    rgb: uint8 (height, width, 3), sRGB, upright, not premultiplied. Eight bits, because the largest input would be
    600 MB as floats and engines only ever need floats for one tile.
    alpha: uint8 (height, width), 255 opaque; None where the whole picture is opaque.
    gray: the source had no colour; rgb then has three equal planes.
    format: the format of the source, see Header. Arrays may be read-only: an engine makes new ones.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    gray: bool = False
    format: str = "png"
    metadata: meta.Metadata = meta.NO_METADATA

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])


@dataclass(frozen=True)
class Encoded:
    data: bytes
    format: str


def inspect(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Header:
    """
    Read the header of an encoded image and hold it against the limits; nothing is decoded.

    Raises UnreadableImage, ImageTooLarge, ImageTooSmall.
    """
    with _open(data, limits) as image:
        return Header(_FORMATS[str(image.format)], image.width, image.height)


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """
    Decode an image: first frame, EXIF orientation applied, colours converted to sRGB.

    Raises UnreadableImage for what is truncated or lies about itself, ImageTooLarge, ImageTooSmall.
    """
    with _open(data, limits) as image:
        try:
            image.load()
            metadata = meta.read(image, data)
            upright = _upright(image)
            return _normalise(upright, colour.profile_of(image, data), _FORMATS[str(image.format)], metadata)
        except _UNREADABLE as error:
            raise UnreadableImage("The image could not be decoded; it may be damaged or incomplete.") from error


def _open(data: bytes, limits: Limits) -> PillowImage:
    try:
        image = Image.open(io.BytesIO(data), formats=_OPENERS)
    except _BOMB as error:
        raise ImageTooLarge(
            f"The image has far more than the {_megapixels(limits.pixels)} megapixels allowed."
        ) from error
    except _UNREADABLE as error:
        known = "JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF"
        raise UnreadableImage(f"This is not an image we can read; send {known}.") from error
    _check_limits(image.width, image.height, limits)
    return image


def _check_limits(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        found, allowed = _megapixels(width * height), _megapixels(limits.pixels)
        raise ImageTooLarge(f"The image has {found} megapixels ({width} x {height}); {allowed} are allowed.")
    if max(width, height) > limits.largest_side:
        raise ImageTooLarge(f"The image is {width} x {height}; a side may have {limits.largest_side} pixels.")
    if min(width, height) < limits.smallest_side:
        raise ImageTooSmall(f"The image is {width} x {height}; a side must have {limits.smallest_side} pixels.")


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:.4g}"


def _upright(image: PillowImage) -> PillowImage:
    # ImageOps.exif_transpose would write the whole EXIF block anew, and copy a picture that needs no turn.
    turn = _TURNS.get(meta.orientation(image))
    return image if turn is None else image.transpose(turn)


def _normalise(image: PillowImage, profile: bytes | None, source_format: str, metadata: meta.Metadata) -> Picture:
    image = _eight_bits(image)
    alpha = _alpha(image)
    opaque = _opaque(image)
    return Picture(
        rgb=np.asarray(colour.to_srgb(opaque, profile)),
        alpha=alpha,
        gray=opaque.mode == "L",
        format=source_format,
        metadata=metadata,
    )


def _eight_bits(image: PillowImage) -> PillowImage:
    """Return the image in one of the modes L, LA, RGB, RGBA, CMYK and LAB."""
    if image.mode.startswith(("I", "F")):
        return _scaled_to_eight_bits(image)
    if "transparency" in image.info and image.mode in {"1", "L"}:
        return image.convert("LA")
    if image.mode in {"P", "PA", "RGBa"} or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    plain = {"1": "L", "La": "LA", "YCbCr": "RGB", "RGBX": "RGB", "HSV": "RGB"}
    return image.convert(plain[image.mode]) if image.mode in plain else image


def _scaled_to_eight_bits(image: PillowImage) -> PillowImage:
    # Pillow's own convert("L") clips instead of scaling: a 16-bit scan would come out white.
    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise UnreadableImage("The image could not be decoded: its pixels are not numbers.")
    low, high = _value_range(image.mode, values)
    # One value everywhere has no range of its own.
    high = high if high > low else low + 1.0
    scaled = Image.fromarray(((values - low) * (255.0 / (high - low)) + 0.5).clip(0, 255).astype(np.uint8), "L")
    scaled.info.update({key: image.info[key] for key in ("icc_profile",) if key in image.info})
    return scaled


def _value_range(mode: str, values: NDArray[np.float32]) -> tuple[float, float]:
    if mode.startswith("I;16"):
        return 0.0, 65535.0
    low, high = float(values.min()), float(values.max())
    for white in (1.0, 255.0, 65535.0):
        if low >= 0.0 and high <= white:
            return 0.0, white
    return low, high


def _alpha(image: PillowImage) -> NDArray[np.uint8] | None:
    # LAB has a band of this name too, which is a colour.
    if image.mode not in {"LA", "RGBA"}:
        return None
    alpha = np.asarray(image.getchannel("A"))
    return None if alpha.min() == 255 else alpha


def _opaque(image: PillowImage) -> PillowImage:
    if image.mode == "LA":
        return image.getchannel("L")
    if image.mode == "RGBA":
        return Image.merge("RGB", image.split()[:3])
    return image


def encode(
    picture: Picture,
    *,
    format: str = "auto",  # noqa: A002 - the name in the REST API
    quality: int | None = None,
    metadata: str = "strip",
    background: tuple[int, int, int] = WHITE,
) -> Encoded:
    """
    Encode a picture as PNG, JPEG or WebP.

    format: auto is PNG where there is alpha, else the source's own where we write it, else PNG. JPEG has no alpha: the
    picture is laid on the background. quality: 1 to 100, for JPEG and WebP. metadata: strip | copyright | keep.
    Raises InvalidParameter when the format cannot hold a picture of that size.
    """
    chosen = _output_format(picture, format)
    flat = flatten(picture, background) if chosen == "jpeg" else picture
    options: dict[str, Any] = _WRITERS[chosen](picture, quality)
    options |= _attachments(picture, chosen, metadata)
    buffer = io.BytesIO()
    _pillow(flat, allow_gray=chosen != "webp").save(buffer, format=chosen.upper(), **options)
    return Encoded(buffer.getvalue(), chosen)


def _output_format(picture: Picture, wanted: str) -> str:
    side = max(picture.width, picture.height)
    if wanted == "auto":
        own = picture.format if picture.format in _WRITABLE and picture.alpha is None else "png"
        return own if side <= _LARGEST_SIDE[own] else "png"
    if wanted not in _WRITABLE:
        raise InvalidParameter(f"The format {wanted!r} is not one we write; choose auto, {', '.join(_WRITABLE)}.")
    if side > _LARGEST_SIDE[wanted]:
        raise InvalidParameter(
            f"A side of {side} pixels does not fit in {wanted} ({_LARGEST_SIDE[wanted]}): choose png."
        )
    return wanted


def flatten(picture: Picture, background: tuple[int, int, int]) -> Picture:
    """Lay the picture on a colour (sRGB, 0 to 255); the result has no alpha."""
    if picture.alpha is None:
        return picture
    sheet = Image.new("RGB", (picture.width, picture.height), background)
    sheet.paste(Image.fromarray(picture.rgb), mask=Image.fromarray(picture.alpha))
    stays_gray = picture.gray and len(set(background)) == 1
    return Picture(np.asarray(sheet), None, stays_gray, picture.format, picture.metadata)


def _pillow(picture: Picture, *, allow_gray: bool) -> PillowImage:
    rgb = Image.fromarray(picture.rgb)
    image = rgb.getchannel(0) if picture.gray and allow_gray else rgb
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    return image


def _png_options(_picture: Picture, _quality: int | None) -> dict[str, Any]:
    return {"compress_level": _PNG_COMPRESSION}


def _jpeg_options(_picture: Picture, quality: int | None) -> dict[str, Any]:
    quality = quality or _DEFAULT_QUALITY["jpeg"]
    return {"quality": quality, "subsampling": 0 if quality >= _FULL_CHROMA_QUALITY else 2}


def _webp_options(_picture: Picture, quality: int | None) -> dict[str, Any]:
    return {"quality": quality or _DEFAULT_QUALITY["webp"], "method": 4}


_WRITERS = {"png": _png_options, "jpeg": _jpeg_options, "webp": _webp_options}


def _attachments(picture: Picture, chosen: str, policy: str) -> dict[str, Any]:
    exif = meta.exif_for_output(picture.metadata, policy, picture.width, picture.height)
    xmp = meta.xmp_for_output(picture.metadata, policy)
    attached: dict[str, Any] = {"exif": exif} if exif else {}
    chunks = PngImagePlugin.PngInfo()
    if picture.gray and chosen != "webp":
        # An RGB profile on gray pixels is against the specifications; PNG has a chunk that says the same.
        chunks.add(b"sRGB", bytes([ImageCms.Intent.RELATIVE_COLORIMETRIC]))
    else:
        attached["icc_profile"] = colour.srgb_bytes()
    if chosen != "png":
        return attached | ({"xmp": xmp} if xmp else {})
    if xmp:
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return attached | {"pnginfo": chunks}


def preview(picture: Picture) -> bytes:
    """Return a small JPEG of at most 16 KB, transparency laid on white."""
    step = max(1, max(picture.width, picture.height) // (4 * PREVIEW_SIDE))
    alpha = None if picture.alpha is None else picture.alpha[::step, ::step]
    thinned = flatten(Picture(np.ascontiguousarray(picture.rgb[::step, ::step]), alpha), WHITE)
    for shrink in (1.0, 0.8, 0.6, 0.4, 0.2):
        small = Image.fromarray(thinned.rgb)
        small.thumbnail((int(PREVIEW_SIDE * shrink),) * 2, reducing_gap=2.0)
        buffer = io.BytesIO()
        small.save(buffer, format="JPEG", quality=72)
        if buffer.tell() <= _PREVIEW_BYTES:
            break
    return buffer.getvalue()
