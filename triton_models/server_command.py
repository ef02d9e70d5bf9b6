"""How tritonserver is started, on one machine as in its container: what both must say the same."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from triton_models import weights
from triton_models.engines import OPERATIONS
from triton_models.server_wheel import PROJECT_ROOT, LocalServerError

if TYPE_CHECKING:
    from collections.abc import Iterable

REPOSITORY = Path(__file__).resolve().parent / "repository"

# The engines' images pass through it; Docker's default of 64 MB is too small for one large photograph.
_LEAST_SHARED_MEMORY = 256 * 2**20
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton's backend puts its regions, not a temporary file


def arguments(repository: Path, models: Iterable[str], *, exit_seconds: int) -> list[str]:
    """Return tritonserver's arguments; exit_seconds: how long a stop waits for what still runs."""
    return [
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models),
        "--disable-auto-complete-config",
        # Ready means that it answers; each model has a readiness of its own (probe.py).
        "--strict-readiness=false",
        f"--exit-timeout-secs={exit_seconds}",
    ]


def environment() -> dict[str, str]:
    """Return the server's environment: ours, with what leads the backend's interpreter to this one and its packages."""
    ours = {name: value for name, value in os.environ.items() if name not in {"PYTHONHOME", "PYTHONPATH"}}
    ours["IMAGEN_PROJECT_ROOT"] = str(PROJECT_ROOT)
    # The stub takes the first python3 of PATH for its own and finds its packages from there.
    ours["PATH"] = f"{Path(sys.executable).parent}:{ours.get('PATH', os.defpath)}"
    # Engines that share cores: sleeping threads save a quarter of the processor time, trimming a tenth of memory.
    ours = {"OMP_WAIT_POLICY": "passive", "MALLOC_TRIM_THRESHOLD_": str(2**20)} | ours
    if threads := ours.get("IMAGEN_ENGINE_THREADS"):
        ours.setdefault("OMP_NUM_THREADS", threads)
    return ours


def refuse_small_shared_memory() -> None:
    """Raise LocalServerError when photographs would not fit into the memory that Triton passes them through."""
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < _LEAST_SHARED_MEMORY:
        raise LocalServerError(
            f"Triton passes images through {SHARED_MEMORY}, which has {free >> 20} MB free and needs "
            f"{_LEAST_SHARED_MEMORY >> 20} (in Docker: --shm-size=1g)."
        )


def refuse_missing_weights(models: Iterable[str]) -> None:
    """Raise LocalServerError, naming the file, when a light engine's weights are missing or wrong."""
    lock, volume = weights.read_lock(), weights.model_volume()
    needed = {entry for model in models if model in OPERATIONS for entry in OPERATIONS[model].light.weights}
    for entry in sorted(needed):
        # Triton would say the same at the end of a page of log, and then stop.
        if trouble := weights.problem(lock[entry], volume):
            raise LocalServerError(trouble)
