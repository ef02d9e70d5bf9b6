"""RRDBNet with a few random weights, and the files that its weights come in."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import torch

from triton_models.networks.rrdbnet import RRDBNet, Shape

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

TINY = Shape(planes=8, blocks=1, growth=4)
FLOAT16_TAG = (0x01306B47).to_bytes(4, "little")
FLOAT32_TAG = bytes(4)


def tiny_network(seed: int = 0, shape: Shape = TINY) -> RRDBNet:
    """A network that enlarges by repeating pixels, with some chance in every weight: what a trained one does, roughly."""
    generator = torch.Generator().manual_seed(seed)
    network = RRDBNet(shape)
    passing_on = ("conv_first", "conv_up1", "conv_up2", "conv_hr", "conv_last")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.01 * torch.randn(parameter.shape, generator=generator))
        for name in passing_on:
            weight = network.get_submodule(name).weight
            weight += torch.nn.init.dirac_(torch.empty_like(weight))
    return network.eval().requires_grad_(requires_grad=False)


def save_checkpoint(network: RRDBNet, path: Path, key: str | None = "params_ema") -> Path:
    """Write the weights as BasicSR does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    torch.save(state if key is None else {key: state}, path)
    return path


def save_real_esrgan(volume: Path, lock: Path) -> str:
    """
    Put a tiny network on a model volume as the authors' file, and its entry into a lock (IMAGEN_WEIGHTS_LOCK).

    lock: made if it is not there. Returns the file's sha256.
    """
    path = save_checkpoint(tiny_network(), volume / "realesrgan-x4plus/RealESRGAN_x4plus.pth")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    others = re.sub(r"^\[realesrgan-x4plus\].*?(?=^\[|\Z)", "", _text(lock), flags=re.MULTILINE | re.DOTALL)
    entry = (
        '[realesrgan-x4plus]\nlicence = "BSD-3-Clause"\nweights = "RealESRGAN_x4plus.pth"\n'
        'source.release = "https://models.invalid"\n'
        f'files = [{{ path = "RealESRGAN_x4plus.pth", bytes = {len(content)}, sha256 = "{digest}" }}]\n'
    )
    lock.write_text(f"{others}\n{entry}", encoding="utf-8")
    return digest


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def save_ncnn(network: RRDBNet, folder: Path, *, half: bool = True) -> tuple[Path, Path]:
    """Write the weights as ncnn's converter does: a text of layers, and a file of numbers."""
    named = dict(network.named_modules())
    convolutions = [(name, named[name]) for name in named if isinstance(named[name], torch.nn.Conv2d)]
    lines, binary = ["Input data 0 1 data"], b""
    for name, convolution in convolutions:
        weights = convolution.weight.numpy()
        lines.append(
            f"Convolution {name} 1 1 data data 0={len(weights)} 1=3 4=1 5=1 6={weights.size} -23310=1,2.000000e-01"
        )
        binary += (FLOAT16_TAG + padded(weights)) if half else (FLOAT32_TAG + weights.astype("<f4").tobytes())
        binary += convolution.bias.numpy().astype("<f4").tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    param, target = folder / "tiny.param", folder / "tiny.bin"
    param.write_text("\n".join(["7767517", f"{len(lines)} 1", *lines, ""]))
    target.write_bytes(binary)
    return param, target


def padded(weights: NDArray[np.float32]) -> bytes:
    halves = weights.astype("<f2").tobytes()
    return halves + bytes(-len(halves) % 4)
