"""work.toml: what one image of each operation takes."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path(__file__).with_name("work.toml")
# The light engines on a processor, where their seconds are measured.
NO_CARD = "none"
CARDS = ("t4", "l4")


@dataclass(frozen=True)
class Work:
    """One image: `seconds` of a card (assumed) or, without one, of one core (measured), and MB to the caller."""

    operation: str
    photo: str
    engine: str
    seconds: float
    megabytes: float


def of_each_operation(card: str) -> Mapping[str, Work]:
    """Return the work of every operation on one of CARDS, or without a card."""
    text = tomllib.loads(FILE.read_text())
    return {name: _work(name, text, card) for name in OPERATIONS}


def _work(name: str, text: Mapping[str, dict[str, float]], card: str) -> Work:
    row: Mapping[str, object] = text[name]
    seconds = float(str(row["processor_seconds"]))
    if card != NO_CARD:
        seconds = float(str(row["tflop"])) / (text["cards"][card] * float(str(text["share_of_peak"])))
    engine = "light" if card == NO_CARD else str(row["engine"])
    return Work(name, str(row["photo"]), engine, seconds, float(str(row["megabytes"])))
