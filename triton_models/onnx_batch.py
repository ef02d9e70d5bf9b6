"""
Let a network take several pictures at once whose file says that it takes one.

Exporters write the batch of their example into the declared shapes, though nothing in a convolutional network depends
on it. An ONNX file is a protobuf message (onnx.proto, github.com/onnx/onnx), and what has to change are a few fields
near its end; a library that knows the whole format would be one more to install. All outputs but the first go as well:
the side outputs a network was trained with are work for nothing, and memory.

Whether the network then gives each picture what it gives it alone is for the caller to try.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Numbers of the fields on the way to a dimension, from onnx.proto.
_GRAPH = 7
_INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 5, 11, 12, 13
_VALUE_NAME, _TENSOR_NAME = 1, 8
_TYPE, _TENSOR_TYPE, _SHAPE, _DIMENSION, _DIMENSION_NAME = 2, 1, 2, 1, 2
# How a field is written, from protobuf's encoding: the low three bits of its key.
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_FREE = b"batch"


class NotUnderstood(Exception):
    """The bytes are no ONNX file, or one with other than a single picture among its inputs."""


@dataclass(frozen=True)
class _Field:
    """number; whole: all its bytes; content: those of a string or message, else empty."""

    number: int
    whole: memoryview
    content: memoryview


def free_batch(model: bytes) -> bytes:
    """
    Return the ONNX file with a free first dimension of its input and of its first output, the only one that is kept.

    Raises NotUnderstood.
    """
    if not any(field.number == _GRAPH for field in _fields(memoryview(model))):
        raise NotUnderstood("it holds no graph")
    return _changed(memoryview(model), _GRAPH, _freed_graph)


def _freed_graph(graph: memoryview) -> bytes:
    fields = list(_fields(graph))
    outputs = [field for field in fields if field.number == _OUTPUT]
    pictures = _pictures(fields)
    if len(pictures) != 1 or not outputs:
        raise NotUnderstood(f"it takes {len(pictures)} inputs and gives {len(outputs)} outputs")
    parts: list[bytes | memoryview] = []
    for field in fields:
        if field is pictures[0] or field is outputs[0]:
            parts.append(_written(field.number, _freed_value(field.content)))
        # Shapes of what lies between are hints, and now wrong ones.
        elif field.number not in (_OUTPUT, _VALUE_INFO):
            parts.append(field.whole)
    return b"".join(parts)


def _pictures(fields: list[_Field]) -> list[_Field]:
    """Return the inputs that are no weights: old files list those among the inputs too."""
    weights = {_text(field.content, _TENSOR_NAME) for field in fields if field.number == _INITIALIZER}
    inputs = [field for field in fields if field.number == _INPUT]
    return [field for field in inputs if _text(field.content, _VALUE_NAME) not in weights]


def _freed_value(value: memoryview) -> bytes:
    def freed_type(kind: memoryview) -> bytes:
        return _changed(kind, _TENSOR_TYPE, lambda tensor: _changed(tensor, _SHAPE, _freed_shape))

    return _changed(value, _TYPE, freed_type)


def _freed_shape(shape: memoryview) -> bytes:
    first, *others = [field.whole for field in _fields(shape)] or [memoryview(b"")]
    if not first:
        raise NotUnderstood("its input or output has no declared shape")
    return b"".join([_written(_DIMENSION, _written(_DIMENSION_NAME, _FREE)), *others])


def _text(message: memoryview, number: int) -> bytes:
    return next((bytes(field.content) for field in _fields(message) if field.number == number), b"")


def _changed(message: memoryview, number: int, change: Callable[[memoryview], bytes]) -> bytes:
    """Return a message with its fields of one number changed."""
    parts = (
        _written(number, change(field.content)) if field.number == number else field.whole for field in _fields(message)
    )
    return b"".join(parts)


def _written(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def _fields(message: memoryview) -> Iterator[_Field]:
    place = 0
    while place < len(message):
        start = place
        key, place = _read_varint(message, place)
        content_at = place
        if key & 7 == _LENGTH:
            length, content_at = _read_varint(message, place)
            place = content_at + length
        else:
            place = _end(message, place, key & 7)
        if place > len(message):
            raise NotUnderstood("it ends in the middle of a field")
        content = message[content_at:place] if key & 7 == _LENGTH else message[:0]
        yield _Field(key >> 3, message[start:place], content)


def _end(message: memoryview, place: int, kind: int) -> int:
    if kind == _VARINT:
        return _read_varint(message, place)[1]
    if kind in (_EIGHT_BYTES, _FOUR_BYTES):
        return place + (8 if kind == _EIGHT_BYTES else 4)
    raise NotUnderstood(f"it has a field of the unknown kind {kind}")


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    # Ten bytes hold the largest number there is; more are no number.
    for byte in message[place : place + 10]:
        value |= (byte & 0x7F) << shift
        shift += 7
        place += 1
        if byte < 0x80:
            return value, place
    raise NotUnderstood("it has a number without an end")
