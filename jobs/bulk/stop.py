"""Being asked to stop, and waiting in such a way that it is heard."""

from __future__ import annotations

from queue import Empty, SimpleQueue


class Stopped(Exception):
    """Somebody asked us to stop; what is done is done, and the rest is for another time."""


class Stop:
    """Set from a signal handler, looked at between two pieces of work."""

    def __init__(self) -> None:
        # Not an Event: setting one in a signal handler hangs when this thread is just beginning to wait for it.
        self._asked: SimpleQueue[int] = SimpleQueue()
        self.signal = 0

    def ask(self, number: int) -> None:
        self.signal = number
        self._asked.put(number)

    def check(self) -> None:
        """Raise Stopped once somebody asked."""
        if self.signal:
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleep; raises Stopped as soon as somebody asks."""
        self.check()
        try:
            self._asked.get(timeout=seconds)
        except Empty:
            return
        raise Stopped
