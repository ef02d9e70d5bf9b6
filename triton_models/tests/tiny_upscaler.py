"""Real-ESRGAN's engine over a tiny network that can be held back, spoiled, and refused its memory."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from triton_models.devices import CPU
from triton_models.engines.real_esrgan import RealEsrgan, Room, assemble
from triton_models.images import Picture
from triton_models.networks.rrdbnet import RRDBNet
from triton_models.parameters import Parameters
from triton_models.progress import Watch
from triton_models.tests.tiny_networks import TINY, tiny_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from triton_models.engines import Outcome

BATCH = 4


class Counted(RRDBNet):
    """The tiny network; notes the shape of every pass, can be held back, and has room for so many pixels a pass."""

    def __init__(self) -> None:
        super().__init__(TINY)
        self.load_state_dict(tiny_network().state_dict())
        self.requires_grad_(requires_grad=False)
        self.passes: list[tuple[int, int, int]] = []
        self.room = 10**9
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.spoil: Callable[[torch.Tensor], torch.Tensor] = lambda answer: answer

    def forward(self, pixels: torch.Tensor, after_block: Callable[[float], None] | None = None) -> torch.Tensor:
        batch, _, height, width = pixels.shape
        self.began.set()
        assert self.gate.wait(10)
        if batch * height * width > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.passes.append((batch, height, width))
        return self.spoil(super().forward(pixels, after_block))


def engine(network: RRDBNet, *, batch: int = BATCH, tile: int = 448) -> RealEsrgan:
    made = assemble(network, CPU, weights_sha256="0" * 64, environment={"IMAGEN_UPSCALE_BATCH": str(batch)})
    return replace(made, room=Room(tile, tile))


def run(
    upscaler: RealEsrgan, picture: Picture, is_cancelled: Callable[[], bool] = lambda: False, **parameters: object
) -> Outcome:
    return upscaler.run(picture, Parameters(**parameters), Watch(lambda _fraction, _preview: None, is_cancelled))


def at_once(upscaler: RealEsrgan, *pictures: Picture) -> list[Future[Outcome]]:
    """Run requests of one tile each so that all tiles wait before the first pass begins."""
    upscaler.batcher._patience = 10
    waiting = upscaler.batcher._waiting
    with ThreadPoolExecutor(len(pictures)) as pool, upscaler.batcher.announced():
        runs = [pool.submit(run, upscaler, picture) for picture in pictures]
        until = time.monotonic() + 10
        while len(waiting) < len(pictures):
            assert time.monotonic() < until
            time.sleep(0.005)
    return runs


def difference(one: Outcome, other: Outcome) -> int:
    return int(np.abs(one.picture.rgb.astype(int) - other.picture.rgb).max())


def wide(picture: Picture, times: int = 2) -> Picture:
    return Picture(np.tile(picture.rgb, (1, times, 1)))
