"""
Cut out the subject without a download of gigabytes: U²-Netp on a CPU (Qin et al. 2020, arXiv:2005.09007).

The network sees 320 x 320 pixels; `cutout.py` fits what it says to the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnxruntime

from triton_models import cutout, images, mask_networks, quality, weights

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from triton_models.engines import Outcome
    from triton_models.images import Picture
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch

    Floats = NDArray[np.float32]

NAME = "u2netp"
VERSION = "3"
_NETWORK_SIDE = 320
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True)
class LightCutter:
    """U²-Netp with edge refinement."""

    session: onnxruntime.InferenceSession
    weights_sha256: str
    name: str = NAME
    version: str = VERSION
    uses: frozenset[str] = cutout.USES
    seconds_per_megapixel: float = 0.4

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        watch.report(0.0)
        seen = images.flatten(picture, images.WHITE).rgb
        mask = self.mask(seen)
        watch.report(0.3)
        return cutout.cut_out(picture, seen, mask, parameters, watch.part(0.3, 1.0))

    def mask(self, rgb: NDArray[np.uint8]) -> Floats:
        """
        Ask the network how likely each pixel belongs to the subject.

        rgb: uint8 (height, width, 3), sRGB. Returns float32 (320, 320), 0 to 1, whatever the shape of the picture.
        Raises QualityGate when the answer is not finite.
        """
        size = (_NETWORK_SIDE, _NETWORK_SIDE)
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        normal = (small / max(float(small.max()), 1.0) - _MEAN) / _DEVIATION
        answer = self.session.run([_first_output(self.session)], {_first_input(self.session): _batch_of_one(normal)})
        mask = np.asarray(answer[0], np.float32)[0, 0]
        quality.require_finite(mask)
        return np.asarray(mask.clip(0.0, 1.0), np.float32)


def load(volume: Path, *, threads: int) -> LightCutter:
    """Load the network from the model volume. Raises EngineUnavailable, naming the file that is missing or wrong."""
    folder, locked = weights.verified_folder(NAME, volume)
    options = mask_networks.session_options(threads)
    session = onnxruntime.InferenceSession(folder / locked.weights, options, providers=["CPUExecutionProvider"])
    return LightCutter(session, locked.weights_sha256)


def _first_input(session: onnxruntime.InferenceSession) -> str:
    return str(session.get_inputs()[0].name)


def _first_output(session: onnxruntime.InferenceSession) -> str:
    # The fused map; the six behind it are the side outputs it was trained with.
    return str(session.get_outputs()[0].name)


def _batch_of_one(pixels: Floats) -> Floats:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
