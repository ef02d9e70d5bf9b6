"""
The light engines on the processor: seconds and memory for a large photo, and the model server with all of them at work.

Each engine runs in a process of its own (its processor seconds, shared by two cores, tell what a busy machine hides),
beside a baseline in the same process: what Pillow alone takes for Lanczos to
four times (upscale) or a round trip through a JPEG (the others). Then a real Triton with all five: its memory (the
proportional share, PSS, of all its processes) at rest and while each engine has a photo.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.photos import jpeg
from bench.tables import machine, table
from inference.client import Cancellation, InferenceRequest
from inference.triton_client import TritonInferenceClient
from tests.running_site import ROOT
from triton_models.local_triton import LocalTriton

PYTHON = ROOT / ".venv-models/bin/python"
UPSCALE_MEGAPIXELS, MEGAPIXELS = 3, 12
NOISE = 8
# operation, megapixels, noise in levels of 255
WORK = (
    ("upscale", UPSCALE_MEGAPIXELS, 0),
    ("enhance", MEGAPIXELS, 0),
    ("enhance", MEGAPIXELS, NOISE),
    ("style_comic", MEGAPIXELS, 0),
    ("style_aged", MEGAPIXELS, 0),
    ("background_remove", MEGAPIXELS, 0),
)
SAMPLE_SECONDS = 0.2


def alone(operation: str, megapixels: float, noise: float) -> dict[str, Any]:
    command = [str(PYTHON), "-m", "bench.one_engine", operation, str(megapixels), str(noise)]
    # As the model server is started: with threads that spin while they wait, a shared machine doubles every figure.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "MALLOC_TRIM_THRESHOLD_": str(2**20)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def row(operation: str, megapixels: float, noise: float) -> tuple[str, ...]:
    print(f"{operation}, {megapixels} megapixels …", file=sys.stderr)
    told = alone(operation, megapixels, noise)
    seconds = sum(told["seconds"].values())
    return (
        f"`{operation}`, {megapixels} megapixels{', noisy' if noise else ''}",
        f"{seconds:.1f} s",
        f"{told['processor']:.1f} s",
        f"{told['processor'] / megapixels:.2f} s",
        f"{told['peak'] / 1024:.2f} GB",
        f"{told['silence']:.1f} s",
        f"{told['baseline']:.2f} s",
        f"{seconds / told['baseline']:.0f}",
    )


def server_memory(server: int) -> float:
    """Return the PSS of a process and all that it started, in MB."""
    total, waiting = 0.0, [server]
    while waiting:
        folder = Path(f"/proc/{waiting.pop()}")
        try:
            rollup = (folder / "smaps_rollup").read_text()
            waiting += [int(child) for task in folder.glob("task/*/children") for child in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
    return total


def all_at_work(triton: LocalTriton) -> tuple[float, float, dict[str, float]]:
    """Return the server's memory at rest and at its peak with a job on every model, and each job's seconds."""
    client, over, peaks = TritonInferenceClient(triton.grpc_url), threading.Event(), [0.0]
    rest = server_memory(triton.pid)

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            peaks.append(server_memory(triton.pid))

    def call(operation: str) -> float:
        image = jpeg(megapixels=UPSCALE_MEGAPIXELS if operation == "upscale" else MEGAPIXELS)
        began = time.perf_counter()
        request = InferenceRequest(model=operation, image=image, request_id=operation)
        client.infer(request, timeout=600, on_progress=lambda _: None, cancellation=Cancellation())
        return time.perf_counter() - began

    watcher = threading.Thread(target=watch)
    watcher.start()
    names = list(dict.fromkeys(operation for operation, _, _ in WORK))
    with ThreadPoolExecutor(len(names)) as pool:
        seconds = dict(zip(names, pool.map(call, names), strict=True))
    over.set()
    watcher.join()
    client.close()
    return rest, max(peaks), seconds


def main() -> None:
    print(f"{machine()}\n")
    head = ("work", "whole", "processor", "per megapixel", "peak memory", "longest silence", "Pillow alone", "ratio")
    print(table("Light engines", [head, *(row(*work) for work in WORK)]))
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    with LocalTriton(python=PYTHON, log=folder / "triton.log") as triton:
        rest, peak, seconds = all_at_work(triton)
    jobs = ", ".join(f"{operation} {taken:.0f} s" for operation, taken in seconds.items())
    print(
        table(
            "Model server, all five engines",
            [
                ("what", "measured", "goal"),
                ("memory at rest", f"{rest / 1024:.2f} GB", ""),
                (f"memory with a job on each at once ({jobs})", f"{peak / 1024:.2f} GB", "< 1.5 GB"),
            ],
        )
    )


if __name__ == "__main__":
    main()
