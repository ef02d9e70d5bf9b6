"""
An encoded image that is somewhere else, read by ranges, only where somebody looks.

What looks at a file's header takes bytes or these: both have a length, and slices. A file of 100 MB never lies in the
memory of the process that looks at it; for formats whose parts follow one another all of it passes through, in pieces.
"""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

# A header fits into the first read. From there on reads that follow one another grow, as a request costs a round trip.
_FIRST, _MOST = 256 * 1024, 8 * 1024 * 1024
_BEFORE = 1024
_SMALL_WINDOW, _LARGE_WINDOW = 4 * 1024, 1024 * 1024


class Encoded(Protocol):
    """An encoded image: bytes, or RangedBytes."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice, /) -> bytes: ...


class RangedBytes:
    """Bytes that are read when they are looked at; of them the first piece is kept, and the last that was read."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        """read: returns the bytes from a start up to, and without, an end."""
        self._read, self._size = read, size
        self._head = _Piece(0, b"")
        self._piece = self._head
        self._ahead = _FIRST
        self.fetched = 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: slice, /) -> bytes:
        start, end, _ = key.indices(self._size)
        if end <= start:
            return b""
        for piece in (self._piece, self._head):
            if piece.start <= start and end <= piece.end:
                return piece.content[start - piece.start : end - piece.start]
        return self._fetch(start, end)

    def _fetch(self, start: int, end: int) -> bytes:
        follows = self._piece.start <= start <= self._piece.end + _FIRST
        self._ahead = min(2 * self._ahead, _MOST) if follows else _FIRST
        # A little before, too: who reads a part's name looks at its length next, which stands in front.
        first = max(0, start - _BEFORE)
        content = self._read(first, min(max(end, start + self._ahead), self._size))
        self.fetched += len(content)
        self._piece = _Piece(first, content)
        if first == 0 and len(content) <= _MOST:
            self._head = self._piece
        return content[start - first : end - first]


class _Piece:
    def __init__(self, start: int, content: bytes) -> None:
        self.start, self.content, self.end = start, content, start + len(content)


def as_file(content: Encoded) -> IO[bytes]:
    """Return a file to read an encoded image from."""
    return io.BytesIO(content) if isinstance(content, bytes) else io.BufferedReader(_Raw(content))


class _Raw(io.RawIOBase):
    def __init__(self, content: Encoded) -> None:
        super().__init__()
        self._content, self._position = content, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._content)}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._content[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)


def find(pattern: re.Pattern[bytes], content: Encoded, position: int) -> tuple[int, bytes] | None:
    """Return where a pattern of two bytes is next found, from a position on, and what was found; None if nowhere."""
    if isinstance(content, bytes):
        found = pattern.search(content, position)
        return (found.start(), found.group()) if found else None
    # Small at first: there may be fifty thousand of them, close together.
    window = _SMALL_WINDOW
    while position < len(content):
        if found := pattern.search(content[position : position + window + 1]):
            return position + found.start(), found.group()
        position += window
        window = min(2 * window, _LARGE_WINDOW)
    return None


def rfind(needle: bytes, content: Encoded) -> int:
    """Return where bytes are found last, -1 if nowhere."""
    if isinstance(content, bytes):
        return content.rfind(needle)
    end, window = len(content), _SMALL_WINDOW
    while end > 0:
        start = max(0, end - window)
        if (found := content[start : end + len(needle) - 1].rfind(needle)) >= 0:
            return start + found
        end, window = start, min(2 * window, _LARGE_WINDOW)
    return -1
