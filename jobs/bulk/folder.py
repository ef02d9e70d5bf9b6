"""Photos in a folder of this machine: finding them, taking them in, and writing the results under the same names."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import uploads
from jobs.bulk.run import CannotGoOn
from jobs.bulk.work import CannotRead, Skipped
from jobs.errors import EmptyFile, FileTooLarge, NotAnImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from accounts.models import Account
    from jobs.models import Job
    from jobs.operations import Operation
    from jobs.services import JobService
    from jobs.submission import Submission

# What a file too large to be read is taken for by its name alone.
_PHOTOS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".avif"})
# Of the kinds that results have, other ways to write the end of a name.
_SAME = {".jpeg": ".jpg"}


def files_in(folder: Path, *, but: Path | None = None) -> Iterator[Path]:
    """
    Yield every file below a folder, in the order of the names, one directory's names in memory at a time.

    Hidden files and folders, links to folders and the folder `but` are passed over; a folder that cannot be listed
    comes as it is.
    """
    closed: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=closed.append):
        here = Path(parent)
        yield from (Path(closed.pop().filename) for _ in range(len(closed)))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and here / name != but)
        yield from (here / name for name in sorted(names) if not name.startswith("."))
    yield from (Path(error.filename) for error in closed)


@dataclass
class Import:
    """A file of a folder, as a new job."""

    service: JobService
    owner: Account
    folder: Path
    path: Path
    operation: Operation
    values: Mapping[str, Any]
    free: bool = False

    @property
    def name(self) -> str:
        """The path below the folder, in letters that any terminal and database takes."""
        return _text(self.path.relative_to(self.folder))

    @property
    def account(self) -> Account:
        return self.owner

    def key(self) -> str:
        # The content too: a photo that was changed since is another one.
        content = hashlib.sha256(self._content).digest()
        return hashlib.sha256(os.fsencode(self.path.relative_to(self.folder)) + b"\0" + content).hexdigest()[:40]

    def is_of(self, job: Job) -> bool:
        wanted = self.operation.clean(self.values)
        asked = {name: wanted[name] for name in self.values}
        return job.operation == self.operation.name and asked.items() <= job.params.items()

    def sketch(self) -> Submission:
        return self.understand("")

    def understand(self, idempotency_key: str) -> Submission:
        try:
            return self.service.understand(
                account=self.owner,
                operation=self.operation,
                values=self.values,
                content=self._content,
                filename=_text(self.path.name),
                idempotency_key=idempotency_key,
                beyond_quota=True,
                free=self.free,
            )
        except (NotAnImage, EmptyFile) as error:
            raise Skipped(error.code, str(error)) from error

    @cached_property
    def _content(self) -> bytes:
        try:
            found = self.path.stat()
            if stat.S_ISDIR(found.st_mode):
                raise CannotRead("This folder cannot be listed.")
            if not stat.S_ISREG(found.st_mode):
                raise Skipped("not_a_file", "It is a device, a pipe or the like.")
            self._check_size(found.st_size)
            return self.path.read_bytes()
        except OSError as error:
            raise CannotRead(f"It cannot be read: {error.strerror}.") from error

    def _check_size(self, size: int) -> None:
        try:
            uploads.check_size(size, limits=self.service.limits_of(self.owner))
        except FileTooLarge as error:
            if self.path.suffix.lower() in _PHOTOS:
                raise
            raise Skipped(NotAnImage.code, "It is too large to be looked into, and its name is no photo's.") from error
        except EmptyFile as error:
            raise Skipped(error.code, str(error)) from error


def save_result(content: bytes, folder: Path, *, job_id: UUID, name: str, suffix: str) -> Path:
    """
    Write a result into a folder, under its photo's path and name, and return where; what is there is never replaced.

    Repeated, it finds its own file and leaves it. Raises CannotGoOn, as when the disk is full.
    """
    wanted = folder / name
    if not _same_kind(wanted.suffix, suffix):
        wanted = wanted.with_suffix(suffix)
    try:
        return _write(content, wanted, part=wanted.with_name(f".{job_id}.part"))
    except OSError as error:
        raise CannotGoOn(f"The result of {name} cannot be written to {folder}: {error.strerror}.") from error


def _write(content: bytes, wanted: Path, *, part: Path) -> Path:
    wanted.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    try:
        for number in range(1, 10_000):
            path = wanted if number == 1 else wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
            try:
                # A link and not a renaming: it fails where there is a file, and is whole from its first moment.
                path.hardlink_to(part)
            except FileExistsError:
                if not path.is_file() or path.read_bytes() != content:
                    continue
            return path
    finally:
        part.unlink()
    raise OSError(errno.EEXIST, "there are ten thousand files of this name")


def _same_kind(given: str, made: str) -> bool:
    given = given.lower()
    return _SAME.get(given, given) == made


def _text(path: Path | str) -> str:
    return os.fsencode(path).decode(errors="replace")
