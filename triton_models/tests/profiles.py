"""
Colour spaces and their ICC profiles, worked out from their primaries: an opinion of its own beside LittleCMS's.

Primaries and curves: IEC 61966-2-1 (sRGB), SMPTE EG 432-1 with sRGB's curve (Display P3), Adobe RGB (1998) 4.3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_D65 = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])
# What an ICC profile calls white (ICC.1:2022, 7.2.16).
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_ADOBE_GAMMA = 563 / 256


def _srgb_encode(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def _srgb_decode(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _pq_encode(light: np.ndarray) -> np.ndarray:
    # SMPTE ST 2084, with white at 203 of its 10,000 nits (ITU-R BT.2408).
    power = (light * 203 / 10_000) ** 0.1593017578125
    return np.asarray(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


def _hlg_encode(light: np.ndarray) -> np.ndarray:
    # ITU-R BT.2100, table 5, for a display of 1,000 nits with white at 203.
    scene = (light * 203 / 1000) ** (1 / 1.2)
    return np.where(
        scene <= 1 / 12,
        np.sqrt(3 * scene),
        0.17883277 * np.log(12 * np.maximum(scene, 1 / 12) - 0.28466892) + 0.55991073,
    )


@dataclass(frozen=True)
class Space:
    """primaries: x and y of red, green and blue; white is D65. curve: the parameters of an ICC parametric curve."""

    name: str
    primaries: tuple[tuple[float, float], ...]
    encode: Callable[[np.ndarray], np.ndarray]
    curve: tuple[float, ...] = ()

    @property
    def to_xyz(self) -> np.ndarray:
        columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in self.primaries]).T
        return columns * np.linalg.solve(columns, _D65)

    def profile(self) -> bytes:
        """Return an ICC profile (version 4) of three colorants and one curve."""
        cone, to_d50 = _BRADFORD, np.diag((_BRADFORD @ _D50) / (_BRADFORD @ _D65))
        colorants = np.linalg.inv(cone) @ to_d50 @ cone @ self.to_xyz
        kind = 3 if len(self.curve) > 1 else 0
        curve = b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(_fixed(value) for value in self.curve)
        tags = {b"desc": _text(self.name), b"cprt": _text("None"), b"wtpt": _xyz(_D50)}
        tags |= {name: _xyz(colorants[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
        return _assembled(tags)

    def pixels_of(self, srgb: np.ndarray) -> np.ndarray:
        """Return the values 0 to 1 that show in this space the colour that these values, 0 to 1, show in sRGB."""
        xyz = _srgb_decode(srgb) @ SRGB.to_xyz.T
        return np.asarray(self.encode((xyz @ np.linalg.inv(self.to_xyz).T).clip(0, 1)))


def gray_profile(gamma: float) -> bytes:
    """Return an ICC profile of one channel."""
    curve = b"para\0\0\0\0" + struct.pack(">HH", 0, 0) + _fixed(gamma)
    tags = {b"desc": _text("Gray"), b"cprt": _text("None"), b"wtpt": _xyz(_D50), b"kTRC": curve}
    return _assembled(tags, colours=b"GRAY")


def gray_pixels_of(srgb: np.ndarray, gamma: float) -> np.ndarray:
    """Return the values 0 to 1 that show with this gamma the gray that these values, 0 to 1, show in sRGB."""
    return np.asarray(_srgb_decode(srgb) ** (1 / gamma))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_fixed(float(value)) for value in values)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _assembled(tags: dict[bytes, bytes], colours: bytes = b"RGB ") -> bytes:
    position, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, position + len(body), len(content))
        body += content.ljust(-(-len(content) // 4) * 4, b"\0")
    header = struct.pack(">I4x4s4s4s4s12x4s", position + len(body), b"\x04\x30\0\0", b"mntr", colours, b"XYZ ", b"acsp")
    header = header.ljust(68, b"\0") + b"".join(_fixed(float(value)) for value in _D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


SRGB = Space("sRGB by hand", ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), _srgb_encode, _SRGB_CURVE)
DISPLAY_P3 = Space("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), _srgb_encode, _SRGB_CURVE)
ADOBE_RGB = Space(
    "Adobe RGB (1998)",
    ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
    lambda linear: np.asarray(linear ** (1 / _ADOBE_GAMMA)),
    (_ADOBE_GAMMA,),
)
_BT_2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
WIDE = Space("BT.2020", _BT_2020, _srgb_encode)
WIDE_PQ = Space("BT.2020 PQ", _BT_2020, _pq_encode)
WIDE_HLG = Space("BT.2020 HLG", _BT_2020, _hlg_encode)
