"""Pixels: object names, signed links, and one store over any Django storage."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import quote

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage

from jobs import links
from jobs.errors import BadLink, ObjectMissing, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from uuid import UUID


def input_path(job_id: UUID, filename: str) -> str:
    """Return where a job's input lies: the person's file name, reduced to letters that are safe in any store."""
    return f"inputs/{job_id}/{_safe(filename)}"


def upload_path(upload_id: UUID, filename: str) -> str:
    """Return where a photo lies that was sent directly, until its job has a copy."""
    return f"uploads/{upload_id}/{_safe(filename)}"


def output_path(job_id: UUID, attempt: int, suffix: str) -> str:
    """Return where an attempt writes: one object each, so that a stale worker overwrites nothing."""
    return f"outputs/{job_id}/{attempt}/result.{suffix}"


def _safe(filename: str) -> str:
    # Cut first: the cut may bring a dot to the front.
    return re.sub(r"[^\w.-]", "_", filename, flags=re.ASCII)[-80:].lstrip(".") or "photo"


class ImageStore(Protocol):
    """Whole images by path. Every method may raise Unavailable, which is worth a retry."""

    def read(self, path: str) -> bytes:
        """Return an object's bytes; raises ObjectMissing."""

    def write(self, path: str, content: IO[bytes]) -> None:
        """Store an object, replacing what has this path."""

    def delete_job(self, job_id: UUID) -> None:
        """Delete every object of a job, input and outputs; missing ones are no error."""

    def link(self, path: str, *, filename: str, lifetime: timedelta) -> str:
        """
        Return a signed link, from the site's root, that downloads the object under `filename`.

        It asks no other service: there may be one in every row of a list.
        """


class FolderStorage(Storage, ABC):
    """One of Django's storages that raises OSErrors alone, as a file system does, and can do two things more."""

    @abstractmethod
    def delete_folder(self, folder: str) -> None:
        """Delete every object below a path; it is no error that there is none."""

    def address_of(self, link: links.Link) -> str | None:  # noqa: ARG002
        """Return where a link leads to, None where this site serves the object itself."""
        return None


class DjangoImageStore:
    """An ImageStore over a storage of Django's: files on this machine, or a bucket (cloud_storage.py)."""

    def __init__(self, storage: FolderStorage) -> None:
        self._storage = storage

    def read(self, path: str) -> bytes:
        with in_our_words(path), self._storage.open(path) as file:
            return bytes(file.read())

    def write(self, path: str, content: IO[bytes]) -> None:
        with in_our_words(path):
            self._storage.save(path, File(content))

    def delete_job(self, job_id: UUID) -> None:
        for folder in (f"inputs/{job_id}", f"outputs/{job_id}"):
            with in_our_words(folder):
                self._storage.delete_folder(folder)

    def link(self, path: str, *, filename: str, lifetime: timedelta) -> str:
        return links.sign(links.Link(path, filename), lifetime=lifetime)


class SignedFileStorage(FolderStorage, FileSystemStorage):
    """Files on this machine, which this site serves itself to whoever has a link."""

    def delete_folder(self, folder: str) -> None:
        try:
            folders, files = self.listdir(folder)
        except FileNotFoundError:
            return
        for name in files:
            self.delete(f"{folder}/{name}")
        for name in folders:
            self.delete_folder(f"{folder}/{name}")
        # Directories exist only in a file system, whose storage removes an empty one by the same call.
        self.delete(folder)

    def open_link(self, link: links.Link) -> IO[bytes]:
        """Open what a link names; raises BadLink where it is gone."""
        try:
            return self.open(link.path)
        except FileNotFoundError as error:
            raise BadLink from error


class MemoryImageStore:
    """Objects in a dictionary, for unit tests."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        try:
            return self.objects[path]
        except KeyError:
            raise ObjectMissing(path) from None

    def write(self, path: str, content: IO[bytes]) -> None:
        self.objects[path] = content.read()

    def delete_job(self, job_id: UUID) -> None:
        for path in [path for path in self.objects if path.split("/")[1] == str(job_id)]:
            del self.objects[path]

    def link(self, path: str, *, filename: str, lifetime: timedelta) -> str:
        return f"/memory/{path}?filename={quote(filename)}&lifetime={lifetime.total_seconds():g}"


@contextmanager
def in_our_words(path: str) -> Iterator[None]:
    """Turn what a storage raises into ObjectMissing or Unavailable."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(path) from error
    except OSError as error:
        raise Unavailable("The image store does not answer.") from error
