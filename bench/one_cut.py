"""
Background removal with ISNet, for bench.models, by the models' Python; every way prints a JSON object.

    one_cut against ISNET.onnx FOLDER           seconds of ours and of rembg, in one process and in turns
    one_cut memory ISNET.onnx FOLDER ours       its peak with a small photo, in MB; or rembg's
    one_cut clients ISNET.onnx                  photos a second, one at a time and by eight clients

ISNET.onnx: isnet-general-use, or another file of its outside. FOLDER: where rembg is installed, by
`pip install --target FOLDER "rembg[cpu]"`. Both turn the bytes of a photo into those of a PNG.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image
from skimage import data

from bench.one_engine import forget_the_peak, peak_megabytes, photo
from triton_models import devices
from triton_models.engines import OPERATIONS, background_main, engine_threads
from triton_models.pipeline import Pipeline, Request
from triton_models.tests.tiny_isnet import save_isnet

ENTRY, NAME = "isnet-general-use", "isnet"
ROUNDS, MEGAPIXELS, CLIENTS = 5, 12, 8
Cut = Callable[[bytes], bytes]


def small_photo() -> bytes:
    file = io.BytesIO()
    Image.fromarray(data.coffee()).save(file, "JPEG", quality=92)
    return file.getvalue()


def ours(network: Path, *, largest: int | None = None) -> Cut:
    """Load the engine from a model volume made of the one file."""
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch, "weights.lock")
        save_isnet(Path(scratch), lock, network.read_bytes())
        os.environ["IMAGEN_WEIGHTS_LOCK"] = str(lock)
        engine = background_main.load_cutter(NAME, ENTRY, Path(scratch), threads=engine_threads(), largest=largest)
    pipeline = Pipeline(OPERATIONS["background_remove"], {NAME: engine})

    def cut(image: bytes) -> bytes:
        request = Request(image=image)
        return pipeline.run(request, on_progress=lambda *_: None, is_cancelled=lambda: False).image

    return cut


def rembg(network: Path, installed: str) -> Cut:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "models", ENTRY)
        folder.mkdir(parents=True)
        (folder / f"{ENTRY}.onnx").symlink_to(network.resolve())
        os.environ["REMBG_HOME"] = scratch
        # Behind all others: what it brings along must not take the place of our own libraries.
        sys.path.append(installed)
        from rembg import new_session, remove

        session = new_session(ENTRY)
    return lambda image: bytes(remove(image, session=session))


def against(network: Path, installed: str) -> dict[str, Any]:
    cuts = {"ours": ours(network), "rembg": rembg(network, installed)}
    photos = {"0.24 megapixels": small_photo(), f"{MEGAPIXELS} megapixels": photo(MEGAPIXELS, 0)}
    return {name: in_turns(cuts, image) for name, image in photos.items()}


def in_turns(cuts: dict[str, Cut], image: bytes) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of the clock and those of the processor, of every round."""
    told: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "processor": []} for name in cuts}
    for cut in cuts.values():
        cut(image)
    for _ in range(ROUNDS):
        for name, cut in cuts.items():
            began, processor = time.perf_counter(), time.process_time()
            cut(image)
            told[name]["processor"].append(time.process_time() - processor)
            told[name]["seconds"].append(time.perf_counter() - began)
    return told


def memory(network: Path, installed: str, which: str) -> dict[str, Any]:
    cut = ours(network) if which == "ours" else rembg(network, installed)
    forget_the_peak()
    cut(small_photo())
    return {"peak": peak_megabytes()}


def clients(network: Path) -> dict[str, Any]:
    image = small_photo()
    lone, shared = ours(network, largest=1), ours(network)
    lone(image)
    began = time.perf_counter()
    for _ in range(CLIENTS):
        lone(image)
    between = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(shared, [image] * CLIENTS))
    ended = time.perf_counter()
    return {
        "device": devices.choose().label,
        "one at a time": CLIENTS / (between - began),
        "eight clients": CLIENTS / (ended - between),
    }


if __name__ == "__main__":
    way, path, *others = sys.argv[1:]
    print(json.dumps({"against": against, "memory": memory, "clients": clients}[way](Path(path), *others)))
