"""What an operator sees of a bulk run while it goes on: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_EVERY_SECONDS = 5.0
# While nothing moves, as behind a full line.
SAME_EVERY_SECONDS = 60.0
# Further sentences about the same thing are only counted.
SENTENCES_EACH = 10


class Progress:
    """
    A bar on `stream` (standard error), which leaves standard output to the summary.

    total: how many pieces of work there are, None when nobody knows. line: what to say beside the number of them.
    """

    def __init__(
        self, stream: TextIO, *, total: int | None, line: Callable[[], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream, self._total, self._line, self._clock = stream, total, line, clock
        self._done = self._said = 0
        self._began = self._said_at = clock()
        self._told: Counter[str] = Counter()
        self._bar = tqdm(total=total, unit="job", file=stream, dynamic_ncols=True) if stream.isatty() else None

    def step(self) -> None:
        """One more piece of work is done with."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(1)
        self.note("")

    def note(self, why: str) -> None:
        """Show the counts, and what is being waited for."""
        line = ", ".join(filter(None, (self._line(), why)))
        if self._bar is not None:
            self._bar.set_postfix_str(line, refresh=bool(why))
            return
        every = SAME_EVERY_SECONDS if self._done == self._said else LINE_EVERY_SECONDS
        if self._clock() - self._said_at >= every:
            self._said_at, self._said = self._clock(), self._done
            self.say(f"{self._done:,}{self._of()}: {line}{self._left()}")

    def tell(self, code: str, sentence: str) -> None:
        """Say what became of one piece of work, unless enough was said of its like."""
        self._told[code] += 1
        if self._told[code] <= SENTENCES_EACH:
            self.say(sentence)
        if self._told[code] == SENTENCES_EACH:
            self.say(f"Further ones with the code {code} are only counted.")

    def say(self, sentence: str) -> None:
        if self._bar is not None:
            self._bar.write(sentence, file=self._stream)
            return
        self._stream.write(sentence + "\n")
        self._stream.flush()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _of(self) -> str:
        return "" if self._total is None else f" of {self._total:,}"

    def _left(self) -> str:
        if self._total is None or not self._done:
            return ""
        seconds = (self._clock() - self._began) / self._done * max(0, self._total - self._done)
        return f", about {tqdm.format_interval(seconds)} left"
