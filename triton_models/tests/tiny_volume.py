"""
A model volume with every engine: the light ones' own weights, and tiny random ones for the main engines.

`python -m triton_models.tests.tiny_volume FOLDER` builds it and writes FOLDER/weights.lock, for IMAGEN_WEIGHTS_LOCK;
with --broken the ISNet there answers with what is no number.
It needs torch, so that those who test a server from outside run it with the models' interpreter.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from triton_models import weights
from triton_models.engines import OPERATIONS
from triton_models.tests import tiny
from triton_models.tests.tiny_isnet import isnet
from triton_models.tests.tiny_networks import save_checkpoint, tiny_network

# What the engine computes at.
_ISNET_SIDE = 1024


def build(folder: Path, *, broken: bool = False) -> Path:
    """Fill the folder and return the lock that goes with it."""
    folder.mkdir(parents=True, exist_ok=True)
    _link_light_weights(folder)
    save_checkpoint(tiny_network(), folder / "realesrgan-x4plus/RealESRGAN_x4plus.pth")
    (folder / "isnet-general-use").mkdir(exist_ok=True)
    (folder / "isnet-general-use/isnet-general-use.onnx").write_bytes(isnet(_ISNET_SIDE, broken=broken))
    lock = folder / "weights.lock"
    entries = [("realesrgan-x4plus", "RealESRGAN_x4plus.pth"), ("isnet-general-use", "isnet-general-use.onnx")]
    lines = [lock_entry(folder / name, main) for name, main in entries]
    lock.write_text("\n".join([*lines, _link_diffusion(folder)]), "utf-8")
    return lock


def _link_diffusion(folder: Path) -> str:
    """Put links to the tiny diffusion models there; return their lines of the lock."""
    built = tiny.volume()
    for model in built.iterdir():
        if model.is_dir() and not (folder / model.name).exists():
            (folder / model.name).symlink_to(model)
    return (built / "weights.lock").read_text("utf-8")


def _link_light_weights(folder: Path) -> None:
    for operation in OPERATIONS.values():
        for entry in operation.light.weights:
            if not (folder / entry).exists():
                (folder / entry).symlink_to(weights.model_volume() / entry)


def lock_entry(folder: Path, main: str) -> str:
    """Return the lines of weights.lock for a folder of files, named after it; main: the file that stands for them."""
    lines = [
        f'["{folder.name}"]',
        'licence = "none: random numbers"',
        f'weights = "{main}"',
        'source.release = "https://tiny.invalid"',
        "files = [",
    ]
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f'  {{ path = "{path.relative_to(folder)}", bytes = {len(content)}, sha256 = "{digest}" }},')
    return "\n".join([*lines, "]", ""])


if __name__ == "__main__":
    build(Path(sys.argv[1]), broken="--broken" in sys.argv)
