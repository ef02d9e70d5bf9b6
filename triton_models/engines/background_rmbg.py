"""RMBG-1.4 (BRIA AI's model card): ISNet's architecture with weights whose licence must be accepted by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triton_models.engines.background_main import load_cutter

if TYPE_CHECKING:
    from pathlib import Path

    from triton_models.engines.background_main import Cutter

NAME = "rmbg-1.4"
WEIGHTS = "rmbg-1.4"


def load(volume: Path, *, threads: int) -> Cutter:
    """Load the network from the model volume. Raises EngineUnavailable, naming the file that is missing or wrong."""
    return load_cutter(NAME, WEIGHTS, volume, threads=threads)
