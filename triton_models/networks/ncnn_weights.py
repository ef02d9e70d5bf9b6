"""
The convolutions of an ncnn network (.param and .bin), for networks that this project computes with torch.

The layout is that of ncnn's ModelBin (github.com/Tencent/ncnn, src/modelbin.cpp): for each convolution, in the order of
the .param file, a tag of four bytes, the weights (float16, padded to four bytes, or float32) and the bias (float32).
The order of the weights is torch's: output, input, height, width. The .bin file says nothing of its own length, so that
it counts as read only when the last weight ends on its last byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from triton_models.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_MAGIC = "7767517"
_FLOAT16_TAG, _FLOAT32_TAGS = 0x01306B47, (0, 0x0002C056)
_WITHOUT_WEIGHTS = frozenset({"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp"})
# What a convolution's numbers mean in a .param file.
_OUTPUTS, _WIDTH, _HAS_BIAS, _COUNT, _INT8, _HEIGHT, _DYNAMIC = "0", "1", "5", "6", "8", "11", "19"


@dataclass(frozen=True)
class Convolution:
    """weights: float32 (output, input, height, width). bias: float32 (output)."""

    weights: Floats
    bias: Floats


@dataclass(frozen=True)
class _Layer:
    kind: str
    name: str
    numbers: dict[str, int]

    def number(self, key: str, default: int = 0) -> int:
        return self.numbers.get(key, default)


def read_convolutions(param: Path, binary: Path) -> list[Convolution]:
    """
    Return the convolutions of a network in the order of its .param file.

    Raises EngineUnavailable, naming the file and what is wrong with it: for a text that is no .param, for a layer that
    is not read here, and for a .bin that is shorter or longer than the .param says.
    """
    layers = _layers(param)
    reader = _Reader(binary, binary.read_bytes())
    found = [_convolution(layer, param, reader) for layer in layers if layer.kind not in _WITHOUT_WEIGHTS]
    reader.finish()
    return found


def _layers(param: Path) -> list[_Layer]:
    try:
        lines = param.read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError as error:
        raise _bad(param, "it is no text") from error
    if len(lines) < 2 or lines[0].strip() != _MAGIC:
        raise _bad(param, f"it does not begin with {_MAGIC}")
    count = lines[1].split()[0] if lines[1].split() else ""
    listed = [line for line in lines[2:] if line.strip()]
    if not count.isdecimal() or int(count) != len(listed):
        raise _bad(param, f"it announces {count or 'no'} layers and has {len(listed)}")
    return [_layer(line, param) for line in listed]


def _layer(line: str, param: Path) -> _Layer:
    words = line.split()
    if len(words) < 4 or not words[2].isdecimal() or not words[3].isdecimal():
        raise _bad(param, f"the line {line[:60]!r} is no layer")
    pairs = words[4 + int(words[2]) + int(words[3]) :]
    return _Layer(words[0], words[1], dict(_numbers(pairs, line, param)))


def _numbers(pairs: list[str], line: str, param: Path) -> Iterator[tuple[str, int]]:
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise _bad(param, f"the line {line[:60]!r} is no layer")
        # Arrays and fractions are settings of activations; what is read here are whole numbers.
        if value.removeprefix("-").isdecimal():
            yield key, int(value)


def _convolution(layer: _Layer, param: Path, reader: _Reader) -> Convolution:
    if layer.kind != "Convolution":
        raise _bad(param, f"{layer.name} is a {layer.kind}, which is not read here")
    outputs, width = layer.number(_OUTPUTS), layer.number(_WIDTH)
    height, count = layer.number(_HEIGHT, width), layer.number(_COUNT)
    if min(outputs, width, height, count) < 1 or count % (outputs * width * height):
        raise _bad(param, f"{layer.name} has {count} weights for {outputs} outputs of {width} x {height}")
    if layer.number(_INT8) or layer.number(_DYNAMIC):
        raise _bad(param, f"{layer.name} has weights of 8 bits or of another layer, which are not read here")
    weights = reader.tagged(count, layer.name).reshape(outputs, -1, height, width)
    has_bias = layer.number(_HAS_BIAS)
    return Convolution(weights, reader.floats(outputs, layer.name) if has_bias else np.zeros(outputs, np.float32))


@dataclass
class _Reader:
    path: Path
    content: bytes
    place: int = 0

    def tagged(self, count: int, layer: str) -> Floats:
        tag = int.from_bytes(self._take(4, layer), "little")
        if tag == _FLOAT16_TAG:
            padded = -(-2 * count // 4) * 4
            return np.frombuffer(self._take(padded, layer), "<f2", count).astype(np.float32)
        if tag in _FLOAT32_TAGS:
            return self.floats(count, layer)
        raise _bad(self.path, f"the weights of {layer} are of a kind that is not read here (tag {tag:#010x})")

    def floats(self, count: int, layer: str) -> Floats:
        # A copy, because a view of bytes is read-only and keeps the whole file.
        return np.frombuffer(self._take(4 * count, layer), "<f4").astype(np.float32)

    def finish(self) -> None:
        if left := len(self.content) - self.place:
            raise _bad(self.path, f"{left} bytes are left over behind the last layer")

    def _take(self, length: int, layer: str) -> bytes:
        taken = self.content[self.place : self.place + length]
        if len(taken) < length:
            raise _bad(self.path, f"it ends inside {layer}, {length - len(taken)} bytes too early")
        self.place += length
        return taken


def _bad(path: Path, what: str) -> EngineUnavailable:
    return EngineUnavailable(f"{path} cannot be used: {what}.")
