"""
Whether a worker is well: while it is, its consumer loop touches a file, and a probe looks at the file's age.

As a script, `python imagen_site/liveness.py FILE`, it is that probe: it ends with 0, or says what is wrong and ends
with 1. It imports nothing of ours, nor Celery, so that asking every few seconds costs next to nothing.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_BEAT_SECONDS = 1.0
# The loop comes round twice a second, in an outage of the queue too.
PATIENCE = timedelta(seconds=60)


class Heart:
    """
    Touches `path` once a second while it is told to beat, unless a job has run for longer than any can.

    `longest_job`: every call that a job makes has a deadline, so one that runs for longer holds its thread for ever.
    """

    def __init__(self, path: Path, *, longest_job: timedelta, clock: Callable[[], float] = time.time) -> None:
        self._path, self._longest, self._clock = path, longest_job.total_seconds(), clock
        self._next = 0.0

    def beat(self, began: Iterable[float | None]) -> None:
        """Say that the loop came round; `began` are the times at which the running jobs began."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + _BEAT_SECONDS
        if all(time is None or now - time <= self._longest for time in began):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()


def complaint(path: Path, *, patience: timedelta = PATIENCE) -> str:
    """Return what is wrong with the worker that touches this file, nothing when it is well."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return f"{path} is not there: the worker has not begun to take jobs."
    if age > patience.total_seconds():
        return f"The worker was last well {age:.0f} seconds ago."
    return ""


def main(arguments: list[str] | None = None) -> int:
    parser = ArgumentParser(description="Tell whether a worker is well, by the file that LIVENESS_FILE names.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=PATIENCE.total_seconds(), help="how long it may be silent")
    asked = parser.parse_args(arguments)
    wrong = complaint(asked.file, patience=timedelta(seconds=asked.seconds))
    if wrong:
        sys.stderr.write(f"{wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
