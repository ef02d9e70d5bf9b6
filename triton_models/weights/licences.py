"""Licences that somebody must have accepted by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from triton_models.errors import EngineUnavailable
from triton_models.weights.shell import command

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from triton_models.weights.lock import LockedWeights


def accepted_licences(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the entries whose licence IMAGEN_ACCEPT_LICENCES names, separated by commas."""
    names = environment.get("IMAGEN_ACCEPT_LICENCES", "").split(",")
    return frozenset(name.strip() for name in names if name.strip())


def refuse_unknown(lock: Mapping[str, LockedWeights], environment: Mapping[str, str] = os.environ) -> None:
    """Raise EngineUnavailable for a name in IMAGEN_ACCEPT_LICENCES that is no entry: a yes that counts for nothing."""
    if unknown := sorted(accepted_licences(environment) - lock.keys()):
        needed = sorted(name for name, entry in lock.items() if entry.acceptance == "required")
        raise EngineUnavailable(
            f"IMAGEN_ACCEPT_LICENCES names {', '.join(unknown)}; to be accepted there are {', '.join(needed)}."
        )


def refusal(locked: LockedWeights, accepted: frozenset[str], volume: Path) -> str | None:
    """Say in a sentence that the licence has to be accepted first; None where it has been, or need not be."""
    if locked.acceptance != "required" or locked.name in accepted:
        return None
    return (
        f"The licence of {locked.name}, {locked.licence}, has not been accepted. {locked.terms} "
        f"Read it at {locked.licence_url}, then accept it by name: "
        f"{command(f'fetch --engine {locked.name} --accept-licence {locked.name}', volume)} to fetch it, "
        f"IMAGEN_ACCEPT_LICENCES={locked.name} where it is to be used."
    )
