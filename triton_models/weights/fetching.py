"""
Puts entries of the lock on the model volume.

Safe beside another fetch into the same volume, a Job of the cluster and a person: one of them works on an entry, the
other waits for it. Where the volume's file system has no such lock, both do the work and the sha256 guards the result.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from triton_models.errors import WeightsNotFetched
from triton_models.weights import bars
from triton_models.weights.downloads import Downloader, Wanted
from triton_models.weights.licences import accepted_licences, refusal
from triton_models.weights.lock import Release, Repository, Wheel
from triton_models.weights.volume import is_right, not_pinned
from triton_models.weights.wheels import fetch_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from triton_models.weights.lock import LockedFile, LockedWeights

# Beside the files themselves: what else is written on the disk while they come.
_SPARE_BYTES = 100_000_000


def fetch(
    locked: Iterable[LockedWeights],
    volume: Path,
    *,
    say: Callable[[str], None],
    accepted: frozenset[str] | None = None,
    meter: bars.Meter | None = None,
    downloader: Downloader | None = None,
    persistent: bool = False,
) -> None:
    """
    Put the weights on the model volume; what is there and right is left alone, what was cut goes on where it stopped.

    say: receives one line for each step. accepted: entries whose licence has been accepted; those of
    IMAGEN_ACCEPT_LICENCES when None. A file gets its name when its sha256 is right. Raises WeightsNotFetched at once
    for an entry that is not pinned, a licence that nobody has accepted and a disk that is too small; later for a host
    that cannot be reached, a volume that cannot be written and a wrong sha256; when persistent, after the rest.
    """
    entries = list(locked)
    _refuse(entries, accepted_licences() if accepted is None else accepted, volume)
    meter, downloader = meter or bars.Silence(), downloader or Downloader()
    missing = {entry.name: missing_files(entry, volume) for entry in entries}
    if number := sum(file.bytes for files in missing.values() for file in files):
        _refuse_small_disk(number, volume)
        meter.total(number)
    failed: list[str] = []
    for entry in entries:
        if not missing[entry.name]:
            say(f"{entry.name}: already there.")
            continue
        try:
            _fetch_one(entry, volume, say, meter, downloader)
        except WeightsNotFetched as error:
            if not persistent:
                raise
            failed.append(entry.name)
            say(f"{entry.name}: {error.message}")
    if failed:
        raise WeightsNotFetched(f"Still missing, for the reasons above: {', '.join(failed)}.")


def missing_files(entry: LockedWeights, volume: Path) -> list[LockedFile]:
    """Return the files of the entry that are not there, or not the right ones."""
    return [file for file in entry.files if not is_right(entry.folder(volume) / file.path, file)]


def _refuse(entries: list[LockedWeights], accepted: frozenset[str], volume: Path) -> None:
    for entry in entries:
        if not entry.pinned:
            raise WeightsNotFetched(not_pinned(entry))
        if sentence := refusal(entry, accepted, volume):
            raise WeightsNotFetched(sentence)


def _refuse_small_disk(number: int, volume: Path) -> None:
    place = next(folder for folder in (volume, *volume.resolve().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < number + _SPARE_BYTES:
        raise WeightsNotFetched(
            f"{volume} has {bars.megabytes(free)} free, and {bars.megabytes(number + _SPARE_BYTES)} are needed: make "
            "room, name another folder with IMAGEN_MODELS_DIR, or fetch fewer engines (--engine)."
        )


def _not_written(entry: LockedWeights, volume: Path, error: OSError) -> WeightsNotFetched:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return WeightsNotFetched(
            f"The disk of {volume} is full. What came of {entry.name} is kept: make room, and the same command goes on."
        )
    return WeightsNotFetched(
        f"The weights of {entry.name} could not be written to {volume}: {error.strerror or error}."
    )


def _fetch_one(
    entry: LockedWeights, volume: Path, say: Callable[[str], None], meter: bars.Meter, downloader: Downloader
) -> None:
    say(f"{entry.name}: downloading {entry.source} ({entry.licence}) ...")
    try:
        entry.folder(volume).mkdir(parents=True, exist_ok=True)
        with _alone(entry.folder(volume), lambda: say(f"{entry.name}: another fetch is at work on it; waiting.")):
            _fill(entry, volume, meter, downloader)
    except OSError as error:
        raise _not_written(entry, volume, error) from error
    say(f"{entry.name}: in {entry.folder(volume)}.")


def _fill(entry: LockedWeights, volume: Path, meter: bars.Meter, downloader: Downloader) -> None:
    # Asked again: the other one may have done it all.
    files = missing_files(entry, volume)
    if isinstance(entry.source, Wheel):
        if files:
            fetch_members(entry, entry.source, volume)
        for file in files:
            meter.file(file.path, file.bytes)(file.bytes)
        return
    for file in files:
        if file.text:
            _write(file.text, entry.folder(volume) / file.path)
        else:
            _download(entry, file, volume, meter, downloader)


def _download(entry: LockedWeights, file: LockedFile, volume: Path, meter: bars.Meter, downloader: Downloader) -> None:
    target = entry.folder(volume) / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    # Named by what it is to become: the beginning of another revision's file is nothing to go on with.
    partial = target.with_name(f".{target.name}.{file.sha256[:12]}.part")
    wanted = Wanted(_url(entry, file, downloader), file.bytes, file.sha256)
    downloader.file(wanted, partial, on_bytes=meter.file(file.path, file.bytes))
    partial.replace(target)
    for outdated in target.parent.glob(f".{target.name}.*.part"):
        outdated.unlink()


def _write(text: str, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.part")
    unfinished.write_bytes(text.encode())
    unfinished.replace(target)


def _url(entry: LockedWeights, file: LockedFile, downloader: Downloader) -> str:
    if isinstance(entry.source, Repository):
        return entry.source.url(file.path, hub=downloader.hub)
    if isinstance(entry.source, Release):
        return entry.source.url(file.path)
    raise AssertionError(entry.source)


@contextmanager
def _alone(folder: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the entry's folder against another fetch; released by the system however this process ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        _hold(handle, on_wait)
        yield
    finally:
        os.close(handle)


def _hold(handle: int, on_wait: Callable[[], None]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        # A network file system without locks: the sha256 of every file is guard enough.
        return
