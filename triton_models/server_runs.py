"""
What one run of the local Triton leaves on the disk and in shared memory, and the clean-up after a run that was killed.

A lock file stays open across exec and in every child, so it is free exactly when the whole run is gone. Process ids
would not do: they are used again, and two containers may share /dev/shm without seeing each other's.
"""

import fcntl
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One run: the token begins the names of its shared-memory regions, the folder holds its model repository."""

    folder: Path

    @property
    def token(self) -> str:
        return self.folder.name

    @property
    def repository(self) -> Path:
        return self.folder / "repository"


def begin(runs: Path, *, shared_memory: Path) -> Run:
    """
    Clean up after dead runs and begin a new one, which lasts until this process and all it starts have ended.

    Safe against another starter at the same time.
    """
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / "lock").open("w") as everyone:
        fcntl.flock(everyone, fcntl.LOCK_EX)
        for folder in runs.glob("imagen_*"):
            if _is_over(folder):
                _remove(Run(folder), shared_memory)
        return _create(runs)


def _create(runs: Path) -> Run:
    run = Run(runs / f"imagen_{uuid.uuid4().hex[:12]}_")
    run.repository.mkdir(parents=True)
    lock = os.open(run.folder / "lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(lock, True)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return run


def _is_over(folder: Path) -> bool:
    try:
        with (folder / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def _remove(run: Run, shared_memory: Path) -> None:
    for region in shared_memory.glob(f"{run.token}*"):
        with suppress(FileNotFoundError):
            region.unlink()
    shutil.rmtree(run.folder)
