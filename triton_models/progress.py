"""How work in progress talks to whoever waits for it: fractions and previews out, a wish to stop in."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from triton_models.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

# A page shows no more than this; a JPEG for every tile would cost more than the tile.
_PREVIEW_EVERY_SECONDS = 2.0
# How often work that cannot be looked into is asked after.
_TICK_SECONDS = 0.5
_Made = TypeVar("_Made")


@dataclass
class Watch:
    """
    Progress and cancellation of one request.

    on_progress receives a fraction from 0 to 1 that never falls, and a preview (a small JPEG) or None.
    """

    on_progress: Callable[[float, bytes | None], None]
    is_cancelled: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _fraction: float = 0.0
    _previewed_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Raise Cancelled if the caller no longer wants the result."""
        if self.is_cancelled():
            raise Cancelled("The request was cancelled.")

    def report(self, fraction: float, preview: Callable[[], bytes] | None = None) -> None:
        """
        Tell how far the work is, and raise Cancelled if it is no longer wanted.

        preview is called only when one is due, every two seconds at most.
        """
        self.check()
        with self._lock:
            self._fraction = max(self._fraction, min(fraction, 1.0))
            self.on_progress(self._fraction, preview() if preview and self._preview_is_due() else None)

    def _preview_is_due(self) -> bool:
        now = self.clock()
        if self._previewed_at is not None and now - self._previewed_at < _PREVIEW_EVERY_SECONDS:
            return False
        self._previewed_at = now
        return True

    def during(self, work: Callable[[], _Made], *, expected_seconds: float) -> _Made:
        """
        Do work that says nothing while it runs, such as encoding, and report by the clock meanwhile.

        Raises Cancelled as soon as nobody wants the result; the work then runs on to its end, unheard.
        """
        clocked = self.by_the_clock(expected_seconds)
        pool = ThreadPoolExecutor(1)
        try:
            made = pool.submit(work)
            while not wait([made], timeout=_TICK_SECONDS).done:
                clocked.report(0.0)
            return made.result()
        finally:
            pool.shutdown(wait=False)

    def by_the_clock(self, expected_seconds: float) -> Watch:
        """Return a watch that reports how far work should be by now, whatever it is told: for work that cannot tell."""
        began = self.clock()

        def timed(_fraction: float, _preview: bytes | None) -> None:
            self.report(_by_the_clock((self.clock() - began) / expected_seconds))

        return Watch(timed, self.is_cancelled, self.clock)

    def part(self, start: float, end: float) -> Watch:
        """Return a watch whose 0 to 1 is the given part of this one's."""

        def scaled(fraction: float, preview: bytes | None) -> None:
            with self._lock:
                self._fraction = max(self._fraction, start + fraction * (end - start))
                self.on_progress(self._fraction, preview)

        return Watch(scaled, self.is_cancelled, self.clock)


def _by_the_clock(share: float) -> float:
    """Return how far work is that has taken a share of the time it was expected to take: slower and slower, never 1."""
    steady = 0.8
    return share if share < steady else 1 - (1 - steady) * math.exp((steady - share) / (1 - steady))
