"""How far a fetch has come, on stderr: two bars at a terminal, a line now and then where there is none."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

# Of a large file, in a log; a small one has no line of its own.
_TENTHS, _LARGE_BYTES = 10, 50_000_000


class Meter(Protocol):
    """Told how many bytes of the whole fetch there are to come, and of each file how many came."""

    def total(self, number: int) -> None: ...

    def file(self, name: str, size: int, /) -> Callable[[int], None]:
        """Begin a file of that many bytes; returns what is to be told how many of them there are."""


class Silence:
    """Shows nothing."""

    def total(self, number: int) -> None:
        pass

    def file(self, _name: str, _size: int) -> Callable[[int], None]:
        return lambda _there: None


class Lines:
    """A line for every tenth of a large file: for a log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def total(self, number: int) -> None:
        self._stream.write(f"{megabytes(number)} to fetch\n")

    def file(self, name: str, size: int) -> Callable[[int], None]:
        told = 0

        def tell(there: int) -> None:
            nonlocal told
            tenth = there * _TENTHS // max(size, 1)
            if size >= _LARGE_BYTES and tenth > told:
                told = tenth
                self._stream.write(f"{name}: {tenth * 100 // _TENTHS} % of {megabytes(size)}\n")
                self._stream.flush()

        return tell


class Bars:
    """A bar for the file and one for everything."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn: list[tqdm] = []

    def total(self, number: int) -> None:
        self._drawn = [self._bar("all", number, position=0)]

    def file(self, name: str, size: int) -> Callable[[int], None]:
        for former in self._drawn[1:]:
            former.close()
        whole, part = self._drawn[0], self._bar(name, size, position=1)
        self._drawn = [whole, part]

        def tell(there: int) -> None:
            whole.update(there - part.n)
            part.update(there - part.n)

        return tell

    def close(self) -> None:
        for bar in reversed(self._drawn):
            bar.close()

    def _bar(self, name: str, size: int, *, position: int) -> tqdm:
        return tqdm(
            file=self._stream, desc=name, total=size, position=position, leave=not position, unit="B", unit_scale=True
        )


@contextmanager
def shown(stream: TextIO | None = None) -> Iterator[Meter]:
    """Show a fetch on stderr, as suits what stderr is."""
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        yield Lines(stream)
        return
    bars = Bars(stream)
    try:
        yield bars
    finally:
        bars.close()


def above(line: str, stream: TextIO) -> None:
    """Write a line where bars may be moving."""
    tqdm.write(line, file=stream)
    stream.flush()


def megabytes(number: int) -> str:
    """Return a number of bytes for people: 5 kB, 67 MB, 1.7 GB."""
    if number >= 1_000_000_000:
        return f"{number / 1e9:.1f} GB"
    return f"{number / 1e6:.0f} MB" if number >= 1_000_000 else f"{-(-number // 1000)} kB"
