"""
An ONNX file with ISNet's outside and a few weights inside, written here: the package onnx is not needed for so little.

Like the published one it declares a batch of one, enlarges to sizes it computes, and has side outputs. Its subject is
what is red.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from triton_models.weights.lock import LOCK, read_lock

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 64
Number = int | float | Sequence[int] | str


@dataclass
class Graph:
    """A graph under construction; what each method returns is the name of its result."""

    parts: list[bytes] = field(default_factory=list)
    count: int = 0

    def weights(self, values: np.ndarray) -> str:
        self.count += 1
        kind = 7 if values.dtype == np.int64 else 1
        dims = b"".join(_number(1, size) for size in values.shape)
        tensor = dims + _number(2, kind) + _bytes(8, f"w{self.count}".encode()) + _bytes(9, values.tobytes())
        self.parts.append(_bytes(5, tensor))
        return f"w{self.count}"

    def node(self, kind: str, *inputs: str, result: str | None = None, **attributes: Number) -> str:
        self.count += 1
        result = result or f"r{self.count}"
        told = b"".join(_bytes(1, name.encode()) for name in inputs) + _bytes(2, result.encode())
        told += _bytes(4, kind.encode())
        told += b"".join(_bytes(5, _attribute(name, value)) for name, value in attributes.items())
        self.parts.append(_bytes(1, told))
        return result

    def conv(self, pixels: str, weights: np.ndarray, bias: Sequence[float], **attributes: Number) -> str:
        kernel = weights.shape[-1]
        taken = (pixels, self.weights(weights.astype(np.float32)), self.weights(np.array(bias, np.float32)))
        return self.node("Conv", *taken, kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4, **attributes)

    def enlarged(self, small: str, side: int, result: str | None = None) -> str:
        """Enlarge as torch's exporter writes it: batch and channels from the shape, the size as a constant."""
        zero, two = (self.weights(np.array([number], np.int64)) for number in (0, 2))
        start = self.node("Slice", self.node("Shape", small), zero, two, zero)
        size = self.node("Concat", start, self.weights(np.array([side, side], np.int64)), axis=0)
        return self.node("Resize", small, "", "", size, result=result, mode="linear")


def isnet(
    side: int = SIDE,
    *,
    batch: int | None = 1,
    mixes: bool = False,
    fixed: bool = False,
    blind: bool = False,
    broken: bool = False,
    weights_as_inputs: bool = False,
    masked: bool = False,
) -> bytes:
    """
    Return the file.

    batch: as declared; None leaves it free. mixes: its answer depends on all pictures of a pass. fixed: it computes with
    a batch of one. blind: it sees no subject anywhere. broken: its answer is not finite. weights_as_inputs: weights are
    listed among the inputs, as exporters once did. masked: it takes a second input.
    """
    graph, chance = Graph(), np.random.default_rng(0)
    red = np.zeros((4, 3, 3, 3), np.float32)
    red[0, :, 1, 1], red[1, :, 1, 1] = (1, -1, 0), (-1, 1, 0)
    red[2:] = chance.normal(0, 0.1, (2, 3, 3, 3))
    near = graph.node("Relu", graph.conv("input_image", red, [0, 0, 0, 0]))
    pooled = graph.node("MaxPool", near, kernel_shape=[2, 2], strides=[2, 2])
    deep = graph.node("Relu", graph.conv(pooled, chance.normal(0, 0.05, (4, 4, 3, 3)), [0] * 4))
    wide = graph.enlarged(deep, side)
    if mixes:
        wide = graph.node("Sub", wide, graph.node("ReduceMean", wide, axes=[0], keepdims=1))
    if fixed:
        wide = graph.node("Reshape", wide, graph.weights(np.array([1, 4, side, side], np.int64)))
    fused = np.zeros((1, 8, 1, 1), np.float32)
    fused[0, :, 0, 0] = (30, -10, 0.5, -0.5, *((9, -9, 9, -9) if mixes else (1, -1, 1, -1)))
    bias = np.nan if broken else -80.0 if blind else -4.0
    answer = graph.conv(graph.node("Concat", near, wide, axis=1), fused, [bias])
    graph.node("Sigmoid", answer, result="d1")
    _add_side_outputs(graph, deep, side, chance)
    also = ["w1"] if weights_as_inputs else []
    return _model(graph, side, batch, also_taken=[*also, "mask"] if masked else also)


def _add_side_outputs(graph: Graph, deep: str, side: int, chance: np.random.Generator) -> None:
    for number in range(2, 7):
        one_map = graph.conv(deep, chance.normal(0, 1, (1, 4, 1, 1)), [0.0])
        graph.node("Sigmoid", graph.enlarged(one_map, side), result=f"d{number}")


def _model(graph: Graph, side: int, batch: int | None, *, also_taken: Sequence[str]) -> bytes:
    parts = [*graph.parts, _bytes(2, b"isnet"), _bytes(11, _value("input_image", [batch, 3, side, side]))]
    parts += [_bytes(12, _value(f"d{number}", [batch, 1, side, side])) for number in range(1, 7)]
    parts.append(_bytes(13, _value("d2", [batch, 1, side, side])))
    parts += [_bytes(11, _value(name, [4, 3, 3, 3])) for name in also_taken]
    return _number(1, 8) + _bytes(8, _number(2, 15)) + _bytes(7, b"".join(parts))


def _value(name: str, shape: Sequence[int | None]) -> bytes:
    sizes = (_bytes(2, b"n") if size is None else _number(1, size) for size in shape)
    dims = b"".join(_bytes(1, size) for size in sizes)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, dims)))


def _attribute(name: str, value: Number) -> bytes:
    named = _bytes(1, name.encode())
    if isinstance(value, str):
        return named + _bytes(4, value.encode()) + _number(20, 3)
    if isinstance(value, float):
        return named + _key(2, 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, int):
        return named + _number(3, value) + _number(20, 2)
    return named + b"".join(_number(8, each) for each in value) + _number(20, 7)


def _bytes(number: int, content: bytes) -> bytes:
    return _key(number, 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value)


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value == low else bytes([low | 0x80]) + _varint(value >> 7)


def save_isnet(volume: Path, lock: Path, content: bytes, entry: str = "isnet-general-use") -> str:
    """
    Put a network on a model volume in an entry's place, and write a lock that knows it; return its sha256.

    lock: read if it is there already, else the project's own is taken.
    """
    known = lock if lock.exists() else LOCK
    locked = read_lock(known)[entry]
    path, digest = locked.folder(volume) / locked.weights, hashlib.sha256(content).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    size = next(file.bytes for file in locked.files if file.path == locked.weights)
    lock.write_text(
        known.read_text().replace(locked.weights_sha256, digest).replace(f"bytes = {size}", f"bytes = {len(content)}")
    )
    return digest
