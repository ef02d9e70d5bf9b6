"""The engines that restyle a photograph, on tiny networks: listened to, rigged, and run together."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from triton_models.diffusion.passes import Passes, Terms, Wish, image_to_image
from triton_models.engines import aged_sd2, comic_ghibli, enhance_sdxl
from triton_models.parameters import Parameters
from triton_models.progress import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from triton_models.diffusion.restyling import Restyler
    from triton_models.engines import Outcome
    from triton_models.images import Picture

MODULES = {"sdxl-refiner": enhance_sdxl, "ghibli-diffusion": comic_ghibli, "stable-diffusion-2-1": aged_sd2}
OPERATION = {"sdxl-refiner": "enhance", "ghibli-diffusion": "style_comic", "stable-diffusion-2-1": "style_aged"}


class Calls:
    """Calls a pipeline, or whatever stands for it, and remembers what ran together."""

    def __init__(self, call: Callable[..., torch.Tensor] = image_to_image) -> None:
        self.call = call
        self.made: list[tuple[Terms, list[Wish]]] = []

    def __call__(self, pipeline: Any, wishes: Sequence[Wish], terms: Terms, after_step: Any) -> torch.Tensor:
        assert {wish.pixels.shape for wish in wishes} == {(terms.height, terms.width, 3)}
        self.made.append((terms, list(wishes)))
        return self.call(pipeline, wishes, terms, after_step)


def rigged(engine: Restyler, calls: Calls | None = None, *, largest: int = 2, side: int = 64) -> Restyler:
    """Return the engine with a batcher of its own, at a size for tests, its calls listened to."""
    return replace(engine, passes=Passes(engine.passes.loaded, calls or Calls(), largest), side=side)


def the_same(_pipeline: Any, wishes: Sequence[Wish], _terms: Terms, _after_step: Any) -> torch.Tensor:
    """A model that changes nothing."""
    return torch.from_numpy(np.stack([wish.pixels.transpose(2, 0, 1) for wish in wishes]))


@contextmanager
def loaded(volume: Path) -> Iterator[dict[str, Restyler]]:
    """Load the three of them from a volume of tiny weights."""
    engines = {name: module.load(volume, threads=1) for name, module in MODULES.items()}
    yield engines
    for engine in engines.values():
        engine.batcher.close()


def watch(is_cancelled: Callable[[], bool] = lambda: False) -> Watch:
    return Watch(lambda _fraction, _preview: None, is_cancelled)


def asked(**others: Any) -> Parameters:
    return Parameters(**{"strength": 0.6, "steps": 4, "seed": 11, **others})


def together(engine: Restyler, requests: Sequence[tuple[Picture, Parameters]]) -> list[Outcome]:
    """Run requests such that each is there before the first pass begins."""
    with ThreadPoolExecutor(len(requests)) as pool, engine.batcher.announced():
        made = [pool.submit(engine.run, picture, parameters, watch()) for picture, parameters in requests]
        wait_until(lambda: sum(map(len, engine.batcher._waiting.values())) == len(requests) or made[0].done())
        engine.batcher._has_arrived(threading.get_ident())
        return [each.result(20) for each in made]


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


def apart(one: Picture, other: Picture) -> int:
    return int(np.abs(one.rgb.astype(int) - other.rgb.astype(int)).max())
