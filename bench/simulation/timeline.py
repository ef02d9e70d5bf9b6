"""The reference timeline, row by row, and how far a run may be from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.simulation.run import Look, Result


@dataclass(frozen=True)
class Row:
    """One thing that the reference says; early and late are what a run may be below and above it."""

    at: str
    says: str
    wanted: float
    measure: Callable[[Result], float]
    early: float = 0
    late: float = 0

    def holds(self, value: float) -> bool:
        """Return whether a measured value is within the tolerance."""
        return self.wanted - self.early <= value <= self.wanted + self.late

    @property
    def tolerance(self) -> str:
        """Return the range that holds, for a table."""
        low, high = self.wanted - self.early, self.wanted + self.late
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def first_minute(result: Result, happened: Callable[[Look], bool]) -> float:
    """Return the minute of the first look at which something had happened; infinity when it never did."""
    return next((look.at / 60 for look in result.looks if happened(look)), math.inf)


def _drained(result: Result) -> float:
    return math.inf if result.drained_at is None else result.drained_at / 60


REFERENCE = (
    Row("0:00", "idle: workers", 5, lambda run: run.at(240).workers),
    Row("0:00", "idle: Triton", 1, lambda run: run.at(240).cards),
    # Pub/Sub's count of what came at 0:05 is seen at 0:06 at the earliest, and then acted upon at once.
    Row(
        "0:05",
        "100 jobs, workers 5 → 25: minute in which 25 are asked for",
        5,
        lambda run: first_minute(run, lambda look: look.workers >= 25),
        late=4,
    ),
    # Some jobs are done by then, and nobody asks for their workers.
    Row("0:10", "→ 50: most workers", 50, lambda run: max(look.workers for look in run.looks), early=8),
    Row(
        "0:10",
        "→ 50: minute in which the last of them is asked for",
        10,
        lambda run: first_minute(run, lambda look: look.workers == max(each.workers for each in run.looks)),
        early=2,
        late=2,
    ),
    Row(
        "0:10",
        "Triton 1 → 2: minute in which it is asked for",
        10,
        lambda run: first_minute(run, lambda look: look.cards >= 2),
        early=2,
        late=2,
    ),
    Row("0:10", "Triton 1 → 2: most", 2, lambda run: max(look.cards for look in run.looks)),
    Row("0:15", "draining: jobs left", 50, lambda run: run.at(900).jobs_left, early=20),
    Row("0:15", "draining: workers", 50, lambda run: run.at(900).workers, early=8),
    Row("0:20", "drained: minute", 20, _drained, early=3, late=1),
    Row("0:25", "workers", 25, lambda run: run.at(1500).workers, early=5, late=5),
    Row("0:35", "workers", 5, lambda run: run.at(2100).workers),
    Row("0:35", "Triton", 1, lambda run: run.at(2100).cards),
)


def departures(result: Result) -> list[str]:
    """Return what a run shows that the reference, with its tolerances, does not."""
    measured = [(row, row.measure(result)) for row in REFERENCE]
    return [f"{row.at} {row.says}: {value:.1f}, not {row.tolerance}" for row, value in measured if not row.holds(value)]
