"""
One diffusion model of random weights on a card, in a process of its own: for bench.models, by the models' Python.

Prints a JSON object: the card, or null where there is none and nothing was measured; by way of calling it, images a
second and the most memory in GB; how far our pictures are from those of stock diffusers, in levels of 255. With "tiny"
behind the name it runs on any processor, on networks that say nothing of speed: to see that it runs.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import diffusers
import numpy as np
import torch

from bench import architectures
from triton_models.devices import choose
from triton_models.diffusion.loading import Loaded, place
from triton_models.diffusion.passes import Passes, Terms, Wish, image_to_image
from triton_models.diffusion.sizes import working_size
from triton_models.engines.upscale_sd_x4 import PlacedNoise, enlarge_tiles
from triton_models.progress import Watch
from triton_models.tests import tiny

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Pictures = list[NDArray[np.float32]]

BATCH, ROUNDS = 4, 3
# Ten passes of the network; of the x4 upscaler, which has no strength, all of them.
STEPS, STRENGTH, GUIDANCE = 20, 0.5, 5.0
SIDES = {"ghibli-diffusion": 512, "stable-diffusion-2-1": 768, "sdxl-refiner-1.0": 1024, "sd-x4-upscaler": 128}
DTYPES = {"fp16": torch.float16, "fp32": torch.float32}


def wishes(name: str, width: int, height: int) -> list[Wish]:
    chance = np.random.default_rng(5)
    noise = (7, height, width) if name == "sd-x4-upscaler" else None
    return [
        Wish(
            chance.random((height, width, 3), np.float32),
            f"photograph number {number}",
            "",
            number,
            None if noise is None else chance.standard_normal(noise, np.float32),
        )
        for number in range(BATCH)
    ]


def timed(work: Callable[[], Pictures]) -> tuple[Pictures, dict[str, float]]:
    """Return what the work made, and its images a second, the best of three rounds after one that does not count."""
    made, best = work(), float("inf")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        made = work()
        best = min(best, time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return made, {"images a second": BATCH / best, "GB": peak}


def stock(call: Callable[..., torch.Tensor], pipeline: Any, asked: Sequence[Wish], terms: Terms) -> Pictures:  # noqa: ANN401
    """One picture after the other, as a script would."""
    made = [call(pipeline, [wish], terms, lambda *_: None) for wish in asked]
    return [pixels[0].permute(1, 2, 0).float().cpu().numpy() for pixels in made]


def ours(passes: Passes, asked: Sequence[Wish], terms: Terms) -> Pictures:
    """All of them at once, each from a thread of its own, as requests come."""
    watch = Watch(lambda _fraction, _preview: None, lambda: False)
    with ThreadPoolExecutor(BATCH) as pool, passes.batcher.announced():
        made = [pool.submit(passes.batcher.run_one, terms, wish, watch) for wish in asked]
        return [each.result().made.result() for each in made]


def measured(name: str, pipeline: Any, side: int) -> dict[str, Any]:  # noqa: ANN401 - diffusers has no types
    device = choose()
    upscales = name == "sd-x4-upscaler"
    call = enlarge_tiles if upscales else image_to_image
    width, height = (side, side) if upscales else working_size(3, 2, side)
    terms = Terms(width, height, STEPS // 2 if upscales else STEPS, GUIDANCE, None if upscales else STRENGTH)
    asked, ways = wishes(name, width, height), {}
    pipeline.set_progress_bar_config(disable=True)
    expected, ways["stock diffusers, batch 1"] = timed(lambda: stock(call, pipeline, asked, terms))
    place(pipeline, device, environment={})
    loaded = Loaded(pipeline, device, "")
    alone, shared = (Passes(loaded, call, largest) for largest in (1, BATCH))
    _, ways["ours, batch 1"] = timed(lambda: ours(alone, asked, terms))
    made, ways[f"ours, batch {BATCH}"] = timed(lambda: ours(shared, asked, terms))
    if device.kind == "cuda":
        place(pipeline, device, environment={"IMAGEN_COMPILE": "1"})
        _, ways[f"ours, batch {BATCH}, compiled"] = timed(lambda: ours(shared, asked, terms))
    apart = [255 * np.abs(one - other) for one, other in zip(made, expected, strict=True)]
    figures = {"mean": float(np.mean(apart)), "most": float(np.max(apart))}
    return {"card": device.label if device.kind == "cuda" else None, "ways": ways, "apart": figures}


def main(name: str, size: str = "") -> None:
    device = choose()
    if size == "tiny":
        kinds = {"sd-x4-upscaler": "Upscale", "sdxl-refiner-1.0": "XLImg2Img"}
        kind = getattr(diffusers, f"StableDiffusion{kinds.get(name, 'Img2Img')}Pipeline")
        pipeline = kind.from_pretrained(
            tiny.volume() / name, variant=None if name == "ghibli-diffusion" else "fp16", dtype=torch.float32
        )
        if name == "sd-x4-upscaler":
            pipeline.low_res_scheduler = PlacedNoise.from_config(pipeline.low_res_scheduler.config)
        print(json.dumps(measured(name, pipeline, 64)))
    elif device.kind == "cpu":
        print(json.dumps({"card": None}))
    else:
        dtype = DTYPES[device.precision]
        pipeline = architectures.pipeline(name, device=device.torch_name, dtype=dtype)
        print(json.dumps(measured(name, pipeline, SIDES[name])))


if __name__ == "__main__":
    main(*sys.argv[1:])
