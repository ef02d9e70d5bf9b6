"""Pixels: object names, signed links, and one store over any Django storage."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from django.core import signing
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage
from django.urls import reverse

from jobs.errors import BadLink, ObjectMissing, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from uuid import UUID

    from django.core.files.storage import Storage

_SALT = "jobs.image_store"


def input_path(job_id: UUID, filename: str) -> str:
    """Return where a job's input lies: the person's file name, reduced to letters that are safe in any store."""
    # Cut first: the cut may bring a dot to the front.
    safe = re.sub(r"[^\w.-]", "_", filename, flags=re.ASCII)[-80:].lstrip(".")
    return f"inputs/{job_id}/{safe or 'photo'}"


def output_path(job_id: UUID, attempt: int, suffix: str) -> str:
    """Return where an attempt writes: one object each, so that a stale worker overwrites nothing."""
    return f"outputs/{job_id}/{attempt}/result.{suffix}"


class ImageStore(Protocol):
    """Whole images by path. Every method may raise Unavailable, which is worth a retry."""

    def read(self, path: str) -> bytes:
        """Return an object's bytes; raises ObjectMissing."""

    def write(self, path: str, content: IO[bytes]) -> None:
        """Store an object, replacing what has this path."""

    def delete_job(self, job_id: UUID) -> None:
        """Delete every object of a job, input and outputs; missing ones are no error."""

    def link(self, path: str, *, filename: str, lifetime: timedelta) -> str:
        """Return a signed link, absolute or from the site's root, that downloads the object under `filename`."""


class DjangoImageStore:
    """An ImageStore over one of Django's storages."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def read(self, path: str) -> bytes:
        with _ours(path), self._storage.open(path) as file:
            return bytes(file.read())

    def write(self, path: str, content: IO[bytes]) -> None:
        with _ours(path):
            self._storage.save(path, File(content))

    def delete_job(self, job_id: UUID) -> None:
        for folder in (f"inputs/{job_id}", f"outputs/{job_id}"):
            with _ours(folder):
                self._delete_folder(folder)

    def _delete_folder(self, folder: str) -> None:
        try:
            folders, files = self._storage.listdir(folder)
        except FileNotFoundError:
            return
        for name in files:
            self._storage.delete(f"{folder}/{name}")
        for name in folders:
            self._delete_folder(f"{folder}/{name}")
        # Directories exist only in a file system, whose storage removes an empty one by the same call.
        self._storage.delete(folder)

    def link(self, path: str, *, filename: str, lifetime: timedelta) -> str:
        disposition = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        parameters = {"response_disposition": disposition, "filename": filename}
        with _ours(path):
            return str(self._storage.url(path, parameters, expire=lifetime.total_seconds()))  # type: ignore[call-arg]


class SignedFileStorage(FileSystemStorage):
    """Files on this machine, behind links that are signed and expire as Cloud Storage's do."""

    def url(self, name: str | None, parameters: dict[str, str] | None = None, expire: float = 3600) -> str:
        signed = signing.dumps(
            {"path": name, "filename": (parameters or {}).get("filename", ""), "lifetime": expire},
            salt=_SALT,
            compress=True,
        )
        return reverse("jobs:file", args=[signed])

    def open_link(self, signed: str) -> tuple[IO[bytes], str]:
        """
        Open what a signed link names; return it with the file name to download it under.

        Raises BadLink for a forged, expired or stale one.
        """
        try:
            # The lifetime is inside the signature: read it first, then hold the age against it.
            lifetime = signing.loads(signed, salt=_SALT)["lifetime"]
            found: dict[str, Any] = signing.loads(signed, salt=_SALT, max_age=lifetime)
            return self.open(found["path"]), found["filename"]
        except (signing.BadSignature, FileNotFoundError) as error:
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
def _ours(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(path) from error
    except OSError as error:
        raise Unavailable("The image store does not answer.") from error
