"""Where the model volume is, and how the shell's commands about it are typed: for sentences that say what to do."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROJECT = Path(__file__).parents[2]
# In a checkout; the container's python is the right one.
_OURS = ".venv-models/bin/python"


def model_volume(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the weights: IMAGEN_MODELS_DIR, or .cache/models in the project."""
    return Path(environment.get("IMAGEN_MODELS_DIR") or _PROJECT / ".cache" / "models")


def command(words: str, volume: Path | None = None) -> str:
    """Return a command of the shell to be pasted, in backquotes; it names a volume that is not the usual one."""
    program = _OURS if (_PROJECT / _OURS).exists() else "python"
    where = "" if volume in {None, model_volume()} else f"--volume {shlex.quote(str(volume))} "
    return f"`{program} -m triton_models {where}{words}`"
