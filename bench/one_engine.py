"""
One photo through one operation's light engine, in a process of its own: for bench.engines, by the models' Python.

Prints a JSON object: the seconds of each stage, the processor's seconds, the longest silence between two reports, the
peak of the process's memory in MB, and the seconds of the baseline: Pillow alone, a round trip through a JPEG, or
Lanczos to four times.
"""

from __future__ import annotations

import io
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from triton_models import weights
from triton_models.pipeline import Pipeline, Request

QUALITY = 92


def photo(megapixels: float, noise: float) -> bytes:
    """Return a JPEG of 4:3, from scikit-image's coffee, with noise of so many levels of 255."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    pixels = np.asarray(
        Image.fromarray(data.coffee()).resize((round(height * 4 / 3), height), Image.Resampling.BICUBIC)
    )
    if noise:
        chance = np.random.default_rng(0).normal(0, noise, pixels.shape).astype(np.float32)
        pixels = (pixels + chance).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def baseline(operation: str, image: bytes) -> float:
    """Return the seconds that Pillow takes for the least that could be called an answer."""
    began = time.perf_counter()
    picture = Image.open(io.BytesIO(image)).convert("RGB")
    if operation == "upscale":
        picture = picture.resize((picture.width * 4, picture.height * 4), Image.Resampling.LANCZOS)
    picture.save(io.BytesIO(), "JPEG", quality=QUALITY)
    return time.perf_counter() - began


def forget_the_peak() -> None:
    """Let the peak of this process's memory begin anew: making the photo takes more than some engines."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes() -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def main(operation: str, megapixels: float, noise: float) -> None:
    image = photo(megapixels, noise)
    pipeline = Pipeline.load(operation, weights.model_volume())
    forget_the_peak()
    heard, processor = [time.perf_counter()], time.process_time()
    result = pipeline.run(
        Request(image=image),
        on_progress=lambda _fraction, _preview: heard.append(time.perf_counter()),
        is_cancelled=lambda: False,
    )
    processor = time.process_time() - processor
    peak = peak_megabytes()
    told = {"seconds": result.info["seconds"], "processor": processor, "silence": max(np.diff(heard)), "peak": peak}
    print(json.dumps(told | {"baseline": min(baseline(operation, image) for _ in range(3))}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
