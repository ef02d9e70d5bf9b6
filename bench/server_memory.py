"""
The memory of the whole model server with every engine there is: the light ones and, on tiny weights, the main ones.

What it shows is the price of five processes with their libraries (three with diffusers, four with torch), not of
weights: those of the main engines are known to the byte (docs/model-server.md). Memory is the proportional share (PSS)
of all processes: at rest, and the peak while each main engine has a photograph.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bench.engines import PYTHON, SAMPLE_SECONDS, server_memory
from bench.photos import jpeg
from bench.tables import machine, table
from inference.client import Cancellation, InferenceRequest
from inference.triton_client import TritonInferenceClient
from tests.running_site import ROOT
from triton_models.local_triton import LocalTriton

if TYPE_CHECKING:
    from collections.abc import Mapping

GOAL_GB = 2.5
MEGAPIXELS = 0.25
ONE_STEP = {"steps": 2, "strength": 0.5}
# model, engine, what it is asked for
MAIN = (
    ("upscale", "realesrgan-x4plus", {}),
    ("upscale", "sd-x4-upscaler", {"prompt": "a cup", "steps": 2}),
    ("enhance", "sdxl-refiner", ONE_STEP),
    ("style_comic", "ghibli-diffusion", ONE_STEP),
    ("style_aged", "stable-diffusion-2-1", ONE_STEP),
    ("background_remove", "isnet", {}),
)


def served(volume: Path, log: Path) -> LocalTriton:
    environment = {
        "IMAGEN_MODELS_DIR": str(volume),
        "IMAGEN_WEIGHTS_LOCK": str(volume / "weights.lock"),
        "IMAGEN_REQUIRE_ENGINES": ",".join(engine for _, engine, _ in MAIN),
        # Tiny networks at the true ones' size would show the memory of neither.
        "IMAGEN_DIFFUSION_SIDE": "64",
    }
    return LocalTriton(python=PYTHON, log=log, environment=environment)


def peak_at_work(server: LocalTriton) -> float:
    """Return the server's peak in MB while every main engine has a photograph, all at once."""
    client, over, peaks = TritonInferenceClient(server.grpc_url), threading.Event(), [0.0]
    photo = jpeg(megapixels=MEGAPIXELS)

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            peaks.append(server_memory(server.pid))

    def call(row: tuple[str, str, Mapping[str, object]]) -> None:
        model, engine, asked = row
        request = InferenceRequest(model=model, image=photo, request_id=engine, options={"engine": engine}, **asked)
        client.infer(request, timeout=600, on_progress=lambda _: None, cancellation=Cancellation())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(len(MAIN)) as pool:
        list(pool.map(call, MAIN))
    over.set()
    watcher.join()
    client.close()
    return max(peaks)


def main() -> None:
    print(f"{machine()}\n")
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    volume = folder / "models"
    print("building tiny weights, and starting five processes …", file=sys.stderr)
    subprocess.run([str(PYTHON), "-m", "triton_models.tests.tiny_volume", str(volume)], cwd=ROOT, check=True)
    server = served(volume, folder / "triton.log")
    server.start(timeout=600)
    try:
        rest = server_memory(server.pid)
        stubs = [f"{server_memory(child):.0f}" for child in server.children()]
        peak = peak_at_work(server)
    finally:
        server.stop()
    rows = [
        ("what", "measured", "goal"),
        (f"at rest (its models: {', '.join(stubs)} MB)", f"{rest / 1024:.2f} GB", ""),
        (f"with {MEGAPIXELS} megapixels on each main engine at once", f"{peak / 1024:.2f} GB", f"≤ {GOAL_GB} GB"),
    ]
    print(table("Model server, every light engine and every main one on tiny weights", rows))


if __name__ == "__main__":
    main()
