"""
Enlarge without a download of gigabytes: realesr-animevideov3 on a CPU, put right by back-projection.

The network (SRVGGNetCompact; Wang et al. 2021, arXiv:2107.10833) was trained on drawings. On photographs its edges are
right and its surfaces are not: skin turns to plastic, and by PSNR it is worse than Lanczos. Three steps of
back-projection (Irani & Peleg 1991, "Improving resolution by image registration") put back what the input says, so
that the enlarged picture, averaged down, is the input again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import ncnn
import numpy as np

from triton_models import quality, weights
from triton_models.canvas import Canvas
from triton_models.engines import Outcome
from triton_models.enlargement import enlarged, has_no_color, likeness
from triton_models.errors import EngineUnavailable, QualityGate
from triton_models.tiles import tiles
from triton_models.transparency import opaque_pixels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from triton_models.images import Picture
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch

NAME = "realesr-animevideov3"
VERSION = "1"
_FACTOR = 4
_STEPS = 3
# The network sees 18 pixels far (18 convolutions of 3 x 3) and back-projection a few more: from 24 on, tiled and whole
# differ by a rounding error. Measured: 105 dB at 24, 112 at 32, for a sixth more work.
OVERLAP = 24
# 240 with the overlap: a third of a second on two cores, which is also how long a cancelled request goes on.
TILE = 192


@dataclass(frozen=True)
class LightUpscaler:
    """realesr-animevideov3 with back-projection, four times or twice."""

    net: ncnn.Net
    weights_sha256: str
    name: str = NAME
    version: str = VERSION
    uses: frozenset[str] = frozenset({"scale"})
    seconds_per_megapixel: float = 10.0

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        scale = parameters.scale
        rgb = self._enlarge_tiled(picture, scale, watch)
        return Outcome(enlarged(picture, rgb), checks=likeness(picture, rgb))

    def _enlarge_tiled(self, picture: Picture, scale: int, watch: Watch) -> NDArray[np.uint8]:
        canvas = Canvas.over(picture, scale)
        plan = list(tiles(picture.height, picture.width, size=TILE, overlap=OVERLAP))
        colorless = has_no_color(picture)
        for done, tile in enumerate(plan):
            watch.report(done / len(plan), canvas.preview)
            low = opaque_pixels(picture, tile.outer())
            high = self.enlarge(low, scale)
            if colorless:
                # The network treats the three planes differently: gray would come back with a tint.
                high = np.repeat(high.mean(axis=2, keepdims=True), 3, axis=2)
            canvas.fill(*tile.inner(scale), np.rint(high[tile.inner_of_outer(scale)] * 255).astype(np.uint8))
        watch.report(1.0, canvas.preview)
        return canvas.rgb

    def enlarge(self, low: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
        """
        Enlarge one tile.

        low: float32 (height, width, 3), sRGB, 0 to 1; returns the same, `scale` (2 or 4) times larger.

        Raises QualityGate when the network's answer is not finite.
        """
        high = back_project(low, self.forward(low))
        return high if scale == _FACTOR else _reduce(high, _FACTOR // scale)

    def forward(self, low: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the network alone makes of a tile, four times as large; raises QualityGate as enlarge() does."""
        planes = np.ascontiguousarray(low.transpose(2, 0, 1))
        # One extractor for each call: it holds the blobs of its own forward pass, so threads may share the net. With
        # allocators of its own too: the net's keep every size they ever saw, 200 MB, for as long as the server runs.
        extractor, allocators = self.net.create_extractor(), (ncnn.PoolAllocator(), ncnn.PoolAllocator())
        extractor.set_blob_allocator(allocators[0])
        extractor.set_workspace_allocator(allocators[1])
        extractor.input("data", ncnn.Mat(planes))
        status, answer = extractor.extract("output")
        high = np.array(answer, np.float32).transpose(1, 2, 0) if status == 0 else None
        # In this order: what came out of an allocator must not outlive it.
        del answer, extractor
        for allocator in allocators:
            allocator.clear()
        if high is None:
            raise QualityGate(f"The network gave up on a tile (ncnn status {status}).")
        quality.require_finite(high)
        return np.ascontiguousarray(high.clip(0.0, 1.0))


def load(volume: Path, *, threads: int) -> LightUpscaler:
    """Load the network from the model volume. Raises EngineUnavailable, naming the file that is missing or wrong."""
    folder, locked = weights.verified_folder(NAME, volume)
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = threads
    stem = str(folder / "realesr-animevideov3-x4")
    if net.load_param(f"{stem}.param") != 0 or net.load_model(f"{stem}.bin") != 0:
        raise EngineUnavailable(f"ncnn cannot load {stem}.param and .bin.")
    return LightUpscaler(net, locked.weights_sha256)


def back_project(low: NDArray[np.float32], high: NDArray[np.float32], steps: int = _STEPS) -> NDArray[np.float32]:
    """
    Correct `high` until it averages down to `low` (Irani & Peleg 1991).

    low: float32 (height, width, 3), 0 to 1. high: the same, a whole number of times larger. Returns high's shape.
    """
    factor = high.shape[0] // low.shape[0]
    size = (high.shape[1], high.shape[0])
    for _ in range(steps):
        missing = low - _reduce(high, factor)
        high = (high + cv2.resize(missing, size, interpolation=cv2.INTER_CUBIC)).clip(0.0, 1.0)
    return high


def _reduce(high: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    size = (high.shape[1] // factor, high.shape[0] // factor)
    return np.asarray(cv2.resize(high, size, interpolation=cv2.INTER_AREA), np.float32)
