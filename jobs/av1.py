"""
How large the pixels in an AVIF are by the codec's own word.

The container says a size too, and that is the one that is shown, priced and checked. But the decoder unpacks what the
codec says and only then scales it to what the container said: 64 x 64 pixels may be a gigabyte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.structure import boxes, require_few

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
# moov, trak, mdia, minf, stbl.
_DEEPEST = 6
_SEQUENCE_HEADER = 1


def coded_sizes(content: bytes) -> Iterator[tuple[int, int]]:
    """
    Yield the largest width and height that each picture in an AVIF may have (AV1 bitstream specification, 5.5).

    Raises struct.error where the container says nonsense, NotAnImage where it has too many parts.
    """
    found = []
    for place in _places(content, 0, len(content)):
        found.append(place)
        require_few(len(found))
    sheets = [start for kind, start, _ in found if kind == b"idat"]
    for kind, start, _ in found:
        if kind == b"iloc":
            for pieces in _items(content, start, sheets[0] if sheets else 0):
                yield from _sizes(_joined(content, pieces))
        elif kind in {b"stco", b"co64"}:
            (first,) = struct.unpack_from(">Q" if kind == b"co64" else ">I", content, start + 8)
            yield from _sizes(content[first:])


def _places(content: bytes, start: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, start and end of what each box holds, and of the boxes inside."""
    for kind, inside, after in boxes(content, start, end):
        yield kind, inside, after
        if (kind in _CONTAINERS or kind == b"meta") and depth < _DEEPEST:
            yield from _places(content, inside + 4 * (kind == b"meta"), min(after, end), depth + 1)


@dataclass
class _Numbers:
    """Reads numbers of any width from somewhere on: bytes for containers, bits for the codec."""

    content: bytes
    position: int = field(default=0)

    def octets(self, count: int) -> int:
        if self.position + count > len(self.content):
            raise struct.error("The numbers end too early.")
        self.position += count
        return int.from_bytes(self.content[self.position - count : self.position])

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            if self.position >= 8 * len(self.content):
                raise struct.error("The bits end too early.")
            value = value << 1 | self.content[self.position // 8] >> 7 - self.position % 8 & 1
            self.position += 1
        return value


def _items(content: bytes, start: int, sheet: int) -> Iterator[list[tuple[int, int]]]:
    """Yield where the pieces of each item lie, and their lengths (ISO/IEC 14496-12, 8.11.3)."""
    numbers = _Numbers(content, start)
    version, sizes = numbers.octets(4) >> 24, numbers.octets(2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    count = numbers.octets(wide)
    require_few(count)
    for _ in range(count):
        numbers.octets(wide)
        method = numbers.octets(2) & 15 if version else 0
        numbers.octets(2)
        begin = numbers.octets(base) + (sheet if method == 1 else 0)
        pieces = numbers.octets(2)
        found = []
        for _ in range(pieces):
            numbers.octets(index if version else 0)
            found.append((begin + numbers.octets(offset), numbers.octets(length) or len(content)))
        yield found


def _joined(content: bytes, pieces: list[tuple[int, int]]) -> bytes:
    spans = [(begin, min(begin + length, len(content))) for begin, length in pieces]
    if sum(end - begin for begin, end in spans) > len(content):
        raise struct.error("The pieces of an item are more than the file.")
    return b"".join(content[begin:end] for begin, end in spans)


def _sizes(item: bytes) -> Iterator[tuple[int, int]]:
    """Yield the size in each sequence header of an item; nothing for an item that is no AV1."""
    position = parts = 0
    while position < len(item):
        parts += 1
        require_few(parts)
        flags = item[position]
        position += 2 if flags & 4 else 1
        if not flags & 2:
            length = len(item) - position
        else:
            length, position = _variable(item, position)
        if flags >> 3 & 15 == _SEQUENCE_HEADER:
            yield _size(_Numbers(item[position : position + min(length, 200)]))
        position += length


def _variable(item: bytes, position: int) -> tuple[int, int]:
    """Return a number of seven bits for each byte (4.10.5), and where it ends."""
    value = 0
    for count, octet in enumerate(item[position : position + 8]):
        value |= (octet & 0x7F) << 7 * count
        if not octet & 0x80:
            return value, position + count + 1
    raise struct.error("A length ends too early.")


def _size(numbers: _Numbers) -> tuple[int, int]:
    numbers.bits(4)
    if numbers.bits(1):
        numbers.bits(5)
    else:
        _skip_operating_points(numbers)
    width_bits, height_bits = numbers.bits(4) + 1, numbers.bits(4) + 1
    return numbers.bits(width_bits) + 1, numbers.bits(height_bits) + 1


def _skip_operating_points(numbers: _Numbers) -> None:
    delay_bits = 0
    if numbers.bits(1):
        numbers.bits(64)
        if numbers.bits(1):
            _skip_universal(numbers)
        if numbers.bits(1):
            delay_bits = numbers.bits(5) + 1
            numbers.bits(32 + 10)
    has_delay = numbers.bits(1)
    for _ in range(numbers.bits(5) + 1):
        numbers.bits(12)
        if numbers.bits(5) > 7:
            numbers.bits(1)
        if delay_bits and numbers.bits(1):
            numbers.bits(2 * delay_bits + 1)
        if has_delay and numbers.bits(1):
            numbers.bits(4)


def _skip_universal(numbers: _Numbers) -> None:
    zeros = 0
    while not numbers.bits(1):
        zeros += 1
    numbers.bits(zeros if zeros < 32 else 0)
