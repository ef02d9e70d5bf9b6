"""
RRDBNet, the network of Real-ESRGAN x4plus: residual-in-residual dense blocks, then four times the size.

From ESRGAN (Wang et al. 2018, arXiv:1809.00219) and Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833). The parameters
have the names of BasicSR's implementation, so that the weights its authors published load as they are.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from triton_models.errors import EngineUnavailable
from triton_models.networks.ncnn_weights import read_convolutions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

SCALE = 4
_SLOPE = 0.2
# What a block adds is scaled down, or so deep a sum would not train (arXiv:1809.00219, 3.1).
_RESIDUAL = 0.2
_DENSE = range(1, 6)
# The enlarging half holds 64 planes at sixteen times the pixels: in strips it needs as much for a large tile as for a
# small one. Two rows beyond a strip are what its four convolutions see (three pixels of the fourfold size and one of
# the twofold), so that strips and whole are equal.
_STRIP_PIXELS = 16 * 1024
_STRIP_MARGIN = 2


@dataclass(frozen=True)
class Shape:
    """planes: channels between blocks. blocks: how many. growth: channels that each convolution of a block adds."""

    planes: int = 64
    blocks: int = 23
    growth: int = 32


X4PLUS = Shape()


class RRDBNet(nn.Module):
    """
    The network. forward() takes (batch, 3, height, width), sRGB, 0 to 1, and returns the same, four times as large.

    What it returns is not clipped: values may lie somewhat outside 0 to 1.
    """

    def __init__(self, shape: Shape = X4PLUS) -> None:
        super().__init__()
        self.conv_first = _convolution(3, shape.planes)
        self.body = nn.ModuleList(_Block(shape) for _ in range(shape.blocks))
        self.conv_body = _convolution(shape.planes, shape.planes)
        self.conv_up1 = _convolution(shape.planes, shape.planes)
        self.conv_up2 = _convolution(shape.planes, shape.planes)
        self.conv_hr = _convolution(shape.planes, shape.planes)
        self.conv_last = _convolution(shape.planes, 3)

    def forward(self, pixels: Tensor, after_block: Callable[[float], None] | None = None) -> Tensor:
        """after_block: called with the share of blocks that are done; what it raises ends the pass."""
        first = self.conv_first(pixels)
        features = first
        for done, block in enumerate(self.body, start=1):
            features = block(features)
            if after_block is not None:
                after_block(done / len(self.body))
        return self._enlarged(first + self.conv_body(features))

    def _enlarged(self, features: Tensor) -> Tensor:
        batch, _, height, width = features.shape
        high = features.new_empty(batch, 3, height * SCALE, width * SCALE)
        for sample in range(batch):
            for start, end in _strips(height, width):
                before, after = max(0, start - _STRIP_MARGIN), min(height, end + _STRIP_MARGIN)
                strip = self._enlarge(features[sample : sample + 1, :, before:after])
                kept = strip[:, :, (start - before) * SCALE : (end - before) * SCALE]
                high[sample : sample + 1, :, start * SCALE : end * SCALE] = kept
        return high

    def _enlarge(self, features: Tensor) -> Tensor:
        for convolution in (self.conv_up1, self.conv_up2):
            twice = functional.interpolate(features, scale_factor=2, mode="nearest")
            features = functional.leaky_relu(convolution(twice), _SLOPE, inplace=True)
        high: Tensor = self.conv_last(functional.leaky_relu(self.conv_hr(features), _SLOPE, inplace=True))
        return high


class _Block(nn.Module):
    """A residual block of three dense ones."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_DenseBlock(shape) for _ in range(3))

    def forward(self, features: Tensor) -> Tensor:
        return torch.add(features, self.rdb3(self.rdb2(self.rdb1(features))), alpha=_RESIDUAL)


class _DenseBlock(nn.Module):
    """Five convolutions, each of which sees what all before it have made."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        for number in _DENSE:
            made = shape.growth if number < len(_DENSE) else shape.planes
            self.add_module(f"conv{number}", _convolution(shape.planes + (number - 1) * shape.growth, made))

    def forward(self, features: Tensor) -> Tensor:
        seen = features
        for number in _DENSE[:-1]:
            made = functional.leaky_relu(self.get_submodule(f"conv{number}")(seen), _SLOPE, inplace=True)
            seen = torch.cat((seen, made), 1)
        return torch.add(features, self.get_submodule(f"conv{_DENSE[-1]}")(seen), alpha=_RESIDUAL)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _strips(height: int, width: int) -> Iterator[tuple[int, int]]:
    rows = max(8, _STRIP_PIXELS // width)
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


def from_checkpoint(path: Path) -> RRDBNet:
    """
    Load the weights that the authors published (.pth): under params_ema or params, or by themselves.

    Nothing in the file is run. Raises EngineUnavailable, naming the file, when it is not a checkpoint of this network.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise EngineUnavailable(f"{path} cannot be used: torch cannot load it as plain weights.") from error
    if not isinstance(found, dict):
        raise EngineUnavailable(f"{path} cannot be used: it holds no table of weights.")
    return _filled(found.get("params_ema") or found.get("params") or found, path)


def from_ncnn(param: Path, binary: Path) -> RRDBNet:
    """Load the weights of ncnn's files. Raises EngineUnavailable, naming the file, when they are another network's."""
    convolutions = read_convolutions(param, binary)
    blocks = (len(convolutions) - 6) // (3 * len(_DENSE))
    names = list(_names(max(0, blocks)))
    if len(names) != len(convolutions):
        raise EngineUnavailable(f"{param} cannot be used: {len(convolutions)} convolutions are not those of RRDBNet.")
    state: dict[str, Tensor] = {}
    for name, convolution in zip(names, convolutions, strict=True):
        state[f"{name}.weight"] = torch.from_numpy(convolution.weights)
        state[f"{name}.bias"] = torch.from_numpy(convolution.bias)
    return _filled(state, binary)


def _names(blocks: int) -> Iterator[str]:
    yield "conv_first"
    for block in range(blocks):
        for dense in (1, 2, 3):
            yield from (f"body.{block}.rdb{dense}.conv{number}" for number in _DENSE)
    yield from ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")


def _filled(state: Mapping[str, Tensor], path: Path) -> RRDBNet:
    """Return the network that the weights were made for: the sizes of their tensors tell its shape."""
    first, dense = state.get("conv_first.weight"), state.get("body.0.rdb1.conv1.weight")
    if not isinstance(first, torch.Tensor) or not isinstance(dense, torch.Tensor):
        raise EngineUnavailable(f"{path} cannot be used: it holds no weights of RRDBNet.")
    blocks = len({name.split(".")[1] for name in state if name.startswith("body.")})
    # Without memory of its own: seventeen million random numbers would be drawn only to be overwritten.
    with torch.device("meta"):
        network = RRDBNet(Shape(planes=len(first), blocks=blocks, growth=len(dense)))
    try:
        network.load_state_dict(state, assign=True)
    except (RuntimeError, TypeError) as error:
        raise EngineUnavailable(f"{path} cannot be used: its weights are not those of an RRDBNet.") from error
    return network.eval().requires_grad_(requires_grad=False)
