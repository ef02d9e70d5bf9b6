"""Numbers as an autoscaler sees them: sampled, and late."""

from __future__ import annotations

from collections import deque


class LateGauge:
    """A gauge whose samples become visible some time after they were taken, in their order."""

    def __init__(self) -> None:
        self._coming: deque[tuple[float, float]] = deque()
        self._last_visible_at = 0.0
        self._seen: float | None = None

    def sample(self, value: float, *, visible_at: float) -> None:
        """Take a sample that nobody sees before visible_at."""
        self._last_visible_at = max(self._last_visible_at, visible_at)
        self._coming.append((self._last_visible_at, value))

    def read(self, now: float) -> float | None:
        """Return the newest value that is visible; None before the first one is."""
        while self._coming and self._coming[0][0] <= now:
            self._seen = self._coming.popleft()[1]
        return self._seen


class RecentAverage:
    """The average over the last so many seconds, 0 when nothing happened: imagen:triton_queue_seconds:avg1m."""

    def __init__(self, seconds: float = 60) -> None:
        self._seconds = seconds
        self._events: deque[tuple[float, float]] = deque()

    def add(self, value: float, *, now: float) -> None:
        self._events.append((now, value))

    def read(self, now: float) -> float:
        while self._events and self._events[0][0] <= now - self._seconds:
            self._events.popleft()
        if not self._events:
            return 0
        return sum(value for _, value in self._events) / len(self._events)
