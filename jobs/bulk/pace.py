"""How fast bulk work goes: at most so many a second, and only while few jobs of anybody are unfinished."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_UNITS: Mapping[str, float] = {"s": 1, "m": 60, "h": 3600}
# How often the number of unfinished jobs is looked at while it is at the limit.
LOOK_EVERY_SECONDS = 0.5


def read_rate(text: str) -> float:
    """Return the seconds between two starts for a rate such as 2/s, 30/m or 100/h; raises ValueError."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)\s*/\s*(s|m|h|sec|min|second|minute|hour)", text.strip())
    if not match or float(match[1]) == 0:
        raise ValueError(f"{text!r} is not a rate such as 2/s, 30/m or 100/h.")
    return _UNITS[match[2][0]] / float(match[1])


@dataclass
class Pace:
    """
    Says when the next job may be made.

    `unfinished` counts the jobs that have not ended, everybody's, up to the number that it is given: people's own jobs
    fill the line too, so that bulk work gives way to them.
    """

    seconds_between: float
    max_queued: int
    unfinished: Callable[[int], int]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    _next: float = field(default=0.0, init=False)

    def wait(self, idle: Callable[[str], None]) -> None:
        """
        Return when the next job may be made; raises whatever `sleep` raises when it is asked to stop.

        idle is called, with the reason, before each pause.
        """
        while (left := self._next - self.clock()) > 0:
            idle("waiting for its turn")
            self.sleep(min(left, LOOK_EVERY_SECONDS))
        while self.unfinished(self.max_queued) >= self.max_queued:
            idle(f"waiting: {self.max_queued:,} or more jobs are unfinished")
            self.sleep(LOOK_EVERY_SECONDS)
        self._next = self.clock() + self.seconds_between
