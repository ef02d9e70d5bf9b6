"""The reference's spike as a picture, readable on a light page and on a dark one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from bench.simulation.run import Look, Result

# Label, colour, style and values of a line; minute and number of a point.
Line = tuple[str, str, str, list[int]]
Points = tuple[tuple[int, int], ...]
# Grey on a transparent ground, and colours of middle lightness: all of them stand out from white and from black.
_INK = "#808080"
_JOBS, _WORKERS, _CARDS = "#d9822b", "#2f8fd0", "#3aa655"
_MINUTES = 40
# What the reference timeline says, minute and number.
_JOBS_SAID = ((5, 100), (15, 50), (20, 0))
_WORKERS_SAID = ((0, 5), (5, 25), (10, 50), (15, 50), (25, 25), (35, 5))
_CARDS_SAID = ((0, 1), (10, 2), (35, 1))


def draw(result: Result, path: Path) -> None:
    """Write the picture; the ending of the path says which kind."""
    # Equal runs make equal files.
    settings = {"svg.hashsalt": "imagen", "font.size": 9, "svg.fonttype": "none", "font.family": "sans-serif"}
    with mpl.rc_context(settings):
        figure, axes = plt.subplots(
            3, 1, sharex=True, figsize=(7.2, 5.0), height_ratios=(3, 3, 2), layout="constrained"
        )
        # At the very first look nothing has been started yet.
        seen = [look for look in result.looks[1:] if look.at <= _MINUTES * 60]
        minutes = [0, *(look.at / 60 for look in seen[1:]), _MINUTES]
        lines = _lines(axes, [*seen, seen[-1]])
        for panel, label, said, drawn in lines:
            _panel(panel, label, minutes, said, drawn)
        axes[2].set_yticks([0, 1, 2, 3])
        axes[2].set_xlabel("minutes", color=_INK)
        axes[2].set_xticks(range(0, _MINUTES + 1, 5))
        axes[2].set_xlim(0, _MINUTES)
        figure.savefig(path, transparent=True, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(figure)


def _lines(axes: Sequence[Axes], looks: list[Look]) -> list[tuple[Axes, str, Points, list[Line]]]:
    return [
        (axes[0], "jobs", _JOBS_SAID, [("not done", _JOBS, "-", [look.jobs_left for look in looks])]),
        (
            axes[1],
            "workers",
            _WORKERS_SAID,
            [
                ("asked for", _WORKERS, "-", [look.workers for look in looks]),
                ("taking jobs", _WORKERS, ":", [look.workers_ready for look in looks]),
            ],
        ),
        (
            axes[2],
            "cards (Triton)",
            _CARDS_SAID,
            [
                ("asked for", _CARDS, "-", [look.cards for look in looks]),
                ("answering", _CARDS, ":", [look.cards_ready for look in looks]),
            ],
        ),
    ]


def _panel(axes: Axes, label: str, minutes: list[float], said: Points, lines: list[Line]) -> None:
    for name, colour, style, values in lines:
        axes.step(minutes, values, where="post", color=colour, linestyle=style, linewidth=2, label=name)
    axes.plot(*zip(*said, strict=True), "o", color=_INK, markersize=5, label="reference", clip_on=False, zorder=5)
    axes.set_ylabel(label, color=_INK)
    axes.set_ylim(0, max(max(values) for *_, values in lines) * 1.25)
    axes.grid(color=_INK, alpha=0.3, linewidth=0.6)
    axes.tick_params(colors=_INK)
    for spine in axes.spines.values():
        spine.set_color(_INK)
    axes.legend(loc="upper right", frameon=False, labelcolor=_INK)
