"""
The model volume: whether what an entry of the lock asks for is there and right.

A file counts as right when its sha256 was computed from its bytes in this process, never by a note that somebody left:
so a file swapped while the server was down is noticed at its start. A process hashes each file once, and that of a
model only the files of its own engines, which it is about to read anyway.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from triton_models.errors import EngineUnavailable
from triton_models.weights.licences import accepted_licences, refusal
from triton_models.weights.lock import read_lock
from triton_models.weights.shell import command

if TYPE_CHECKING:
    from pathlib import Path

    from triton_models.weights.lock import LockedFile, LockedWeights

_digests: dict[tuple[str, int, int, int], str] = {}
# A file written twice within a tick of the file system's clock looks like one that was not.
_SETTLED_NS = 2_000_000_000


class Standing(Enum):
    READY = "ready"
    NOT_PINNED = "not pinned"
    NOT_ACCEPTED = "licence not accepted"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """How an entry stands on the volume, and in a sentence what to do about it; empty when it is ready."""

    standing: Standing
    sentence: str = ""


def inspect(locked: LockedWeights, volume: Path, *, accepted: frozenset[str] | None = None) -> Finding:
    """
    Return how an entry stands on the volume; its files are hashed when all of them are there.

    accepted: entries whose licence somebody has accepted; those of IMAGEN_ACCEPT_LICENCES when None.
    """
    if not locked.pinned:
        return Finding(Standing.NOT_PINNED, not_pinned(locked))
    if sentence := refusal(locked, accepted_licences() if accepted is None else accepted, volume):
        return Finding(Standing.NOT_ACCEPTED, sentence)
    folder, fetch = locked.folder(volume), command(f"fetch --engine {locked.name}", volume)
    there = [file for file in locked.files if (folder / file.path).is_file()]
    missing = [file for file in locked.files if file not in there]
    # Without all of them nothing will be loaded, and a size tells as much as can be told at once.
    wrong = next((file for file in there if not (has_size if missing else is_right)(folder / file.path, file)), None)
    if wrong is not None:
        return Finding(
            Standing.WRONG,
            f"{folder / wrong.path} is not the file that {locked.lock.name} names (wrong sha256): {fetch} replaces it.",
        )
    if missing:
        return Finding(Standing.MISSING, f"{folder / missing[0].path} is missing: run {fetch}.")
    return Finding(Standing.READY)


def not_pinned(locked: LockedWeights) -> str:
    """Say that files of the entry have no sha256 yet, and which command finds out."""
    return (
        f"{locked.name} is not pinned in {locked.lock.name}: nobody has yet noted the commit and the sha256 of each of "
        f"its files. {command(f'lock --engine {locked.name}')} asks the model hub for them."
    )


def problem(locked: LockedWeights, volume: Path) -> str | None:
    """Say in a sentence what keeps the engine's weights from use; None when every file is there and right."""
    return inspect(locked, volume).sentence or None


def verified_folder(entry: str, volume: Path) -> tuple[Path, LockedWeights]:
    """
    Return the folder of an entry's weights and the entry itself, every file checked against its sha256.

    Raises EngineUnavailable, naming the file that is missing or wrong, or the licence that nobody has accepted.
    """
    lock = read_lock()
    if entry not in lock:
        raise EngineUnavailable(f"The lock of the weights has no entry {entry}; there are {', '.join(lock)}.")
    if trouble := problem(lock[entry], volume):
        raise EngineUnavailable(f"The weights {entry} cannot be used: {trouble}")
    return lock[entry].folder(volume), lock[entry]


def is_right(path: Path, file: LockedFile) -> bool:
    """Tell whether the file there has the size and the sha256 of the lock; False when there is none."""
    try:
        return has_size(path, file) and sha256_of(path) == file.sha256
    except (FileNotFoundError, NotADirectoryError):
        return False


def has_size(path: Path, file: LockedFile) -> bool:
    """Tell whether a file has the size of the lock, where the lock has one."""
    return not file.bytes or path.stat().st_size == file.bytes


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, computed once in this process for as long as the file stays the same one."""
    status = path.stat()
    key = (str(path), status.st_ino, status.st_size, status.st_mtime_ns)
    if key in _digests:
        return _digests[key]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
        _digests[key] = digest
    return digest
