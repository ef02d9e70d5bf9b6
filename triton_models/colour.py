"""
From whatever colours a file says it has to sRGB.

A file says so with an ICC profile, or with three numbers (coding-independent code points, ITU-T H.273), as phones and
cameras do in HEIC, AVIF and new PNGs. The numbers are turned into a profile, so that there is one way on from there.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PillowImage

    Curve = NDArray[np.float64]

# Where an ICC profile's header says when it was made (ICC.1:2022, 7.2.8).
_PROFILE_DATE = slice(24, 36)
# H.273, table 2, those with D65 as white: x and y of red, green and blue.
_REC_709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_PRIMARIES = {
    1: _REC_709,
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
# H.273, table 3. Those of television are read as sRGB's, as browsers do: the difference is one of viewing conditions.
_GAMMA = {4: 2.2, 5: 2.8, 8: 1.0}
_PQ, _HLG = 16, 18
_CURVE_POINTS = 4096
# ITU-R BT.2408: diffuse white of a high dynamic range picture, and the peak of the display that HLG is meant for.
_WHITE_NITS, _HLG_PEAK_NITS, _PQ_PEAK_NITS = 203.0, 1000.0, 10_000.0
# Below this part of white a high dynamic range picture stays as it is; what is brighter is pressed into the rest.
_KNEE = 0.7
_D50_FROM_D65 = np.array(
    # Bradford (ICC.1:2022, annex E).
    [[1.0478112, 0.0228866, -0.0501270], [0.0295424, 0.9904844, -0.0170491], [-0.0092345, 0.0150436, 0.7521316]]
)
_D65 = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])


def profile_of(image: PillowImage, data: bytes) -> bytes | None:
    """Return the ICC profile for an opened image, its own or one made of its code points; None for sRGB."""
    own = image.info.get("icc_profile")
    if image.format == "PNG" and (points := _png_code_points(data)):
        # It goes before a profile (PNG, third edition, 4.3).
        return _profile_of_code_points(*points) or own
    if own or image.format not in {"HEIF", "AVIF"}:
        return own if isinstance(own, bytes) else None
    points = _code_points(data)
    return _profile_of_code_points(*points) if points else None


def _png_code_points(data: bytes) -> tuple[int, int] | None:
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"cICP" and length == 4:
            return data[position + 8], data[position + 9]
        if kind == b"IDAT":
            return None
        position += 12 + length
    return None


def _code_points(data: bytes) -> tuple[int, int] | None:
    # The first such box is the picture's: those of what else a file holds come behind it.
    position = data.find(b"colrnclx")
    if position < 0 or position + 12 > len(data):
        return None
    primaries, transfer = struct.unpack_from(">HH", data, position + 8)
    return primaries, transfer


@lru_cache(maxsize=16)
def _profile_of_code_points(primaries: int, transfer: int) -> bytes | None:
    """Return an ICC profile of three colorants and a curve; None where sRGB says the same, or nobody knows better."""
    special = transfer in _GAMMA or transfer in {_PQ, _HLG}
    if primaries not in _PRIMARIES or (primaries == 1 and not special):
        return None
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in _PRIMARIES[primaries]]).T
    colorants = _D50_FROM_D65 @ (columns * np.linalg.solve(columns, _D65))
    values = np.rint(_linear(transfer, np.linspace(0.0, 1.0, _CURVE_POINTS)) * 65535).astype(">u2")
    curve = b"curv\0\0\0\0" + struct.pack(">I", _CURVE_POINTS) + values.tobytes()
    tags = {name: _xyz_tag(colorants[:, index]) for index, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= {b"wtpt": _xyz_tag(_D50_FROM_D65 @ _D65)} | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _assembled(tags)


def _linear(transfer: int, signal: Curve) -> Curve:
    """Return the light, as a part of white, that a signal from 0 to 1 stands for."""
    if transfer in _GAMMA:
        return np.asarray(signal ** _GAMMA[transfer])
    if transfer == _PQ:
        return _pressed(_pq(signal) * _PQ_PEAK_NITS / _WHITE_NITS)
    if transfer == _HLG:
        return _pressed(_hlg(signal) ** 1.2 * _HLG_PEAK_NITS / _WHITE_NITS)
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _pq(signal: Curve) -> Curve:
    # SMPTE ST 2084.
    root = signal ** (1 / 78.84375)
    return np.asarray((np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125))


def _hlg(signal: Curve) -> Curve:
    # ARIB STD-B67, the inverse of the camera's curve.
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)


def _pressed(light: Curve) -> Curve:
    room = 1.0 - _KNEE
    above = np.maximum(light - _KNEE, 0.0)
    return np.where(light <= _KNEE, light, _KNEE + room * (1.0 - np.exp(-above / room)))


def _xyz_tag(values: NDArray[Any]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _assembled(tags: dict[bytes, bytes]) -> bytes:
    start, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    header = struct.pack(">I4x4s4s4s4s12x4s", start + len(body), b"\x02\x40\0\0", b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def to_srgb(image: PillowImage, profile: bytes | None) -> PillowImage:
    """Convert an image of mode L, RGB, CMYK or LAB to RGB in sRGB."""
    converted = _through_profile(image, profile)
    return converted if converted.mode == "RGB" else converted.convert("RGB")


def _through_profile(image: PillowImage, profile: bytes | None) -> PillowImage:
    try:
        source: Any = ImageCms.createProfile("LAB") if image.mode == "LAB" else None
        if source is None and profile:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source is None:
            return image
        transform = ImageCms.buildTransform(
            source,
            _srgb_profile(),
            image.mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if image.mode == "RGB" and _changes_nothing(transform):
            return image
        return ImageCms.applyTransform(image, transform) or image
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        # A broken profile, or one for another kind of pixels: what everybody else does is to take it for sRGB.
        return image


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    # Cameras write a dozen variants of sRGB; a round trip through one would cost a second and a rounding error.
    ramp = np.linspace(0, 255, 9).astype(np.uint8)
    probe = np.stack(np.meshgrid(ramp, ramp, ramp), axis=-1).reshape(27, 27, 3)
    seen = np.asarray(ImageCms.applyTransform(Image.fromarray(probe), transform))
    return bool(np.abs(seen.astype(int) - probe).max() <= 1)


@lru_cache(maxsize=1)
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@lru_cache(maxsize=1)
def srgb_bytes() -> bytes:
    """Return the profile that goes with every result in colour."""
    # The profile carries the time it was made: left in, the same request would give other bytes after a restart.
    made = _srgb_profile().tobytes()
    return made[: _PROFILE_DATE.start] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + made[_PROFILE_DATE.stop :]
