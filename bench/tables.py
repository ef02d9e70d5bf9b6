"""How a benchmark says what it found."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Load:
    """What else the machine does while a table is made: its load average at the beginning and at the end."""

    def __init__(self) -> None:
        self._first = os.getloadavg()[0]

    def __str__(self) -> str:
        return f"load {self._first:.1f} at the beginning and {os.getloadavg()[0]:.1f} at the end"


def machine() -> str:
    """Return the date, the commit and the processor, for the head of a table."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    today = datetime.now(UTC).date().isoformat()
    return f"{today}, {commit.strip() or 'no commit'}, {cores} cores of {model}, Python {platform.python_version()}"


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * len(ordered)) - 1))]


def table(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table; the first row is its head."""
    head, *body = rows
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return "\n".join(lines) + "\n"


def median_and_range(values: Sequence[float], unit: str = "") -> str:
    """Return "median (lowest to highest)"."""
    return f"{statistics.median(values):.3g}{unit} ({min(values):.3g} to {max(values):.3g})"
