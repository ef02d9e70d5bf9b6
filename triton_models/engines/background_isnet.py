"""ISNet general-use (Qin et al. 2022, arXiv:2203.03041; Apache-2.0): the main engine that nobody has to agree to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triton_models.engines.background_main import load_cutter

if TYPE_CHECKING:
    from pathlib import Path

    from triton_models.engines.background_main import Cutter

NAME = "isnet"
WEIGHTS = "isnet-general-use"


def load(volume: Path, *, threads: int) -> Cutter:
    """Load the network from the model volume. Raises EngineUnavailable, naming the file that is missing or wrong."""
    return load_cutter(NAME, WEIGHTS, volume, threads=threads)
