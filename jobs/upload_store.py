"""
Photos that people send to the image store themselves: where to, and what came. The files of one machine, and memory.

A photo is sent by one PUT to a signed address that says of what type and exactly how long it is, until when, and that
nothing is replaced. The bucket of the cloud is in cloud_uploads.py; the site's own door in imagen_site/upload_door.py.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from django.core import signing

from jobs.errors import (
    BadLink,
    ObjectMissing,
    UploadExpired,
    UploadIncomplete,
    UploadMismatch,
    UploadSent,
)
from jobs.image_store import in_our_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobs.image_store import MemoryImageStore, SignedFileStorage

DOOR = "/uploads/"
_SALT = "jobs.upload_store"


@dataclass(frozen=True)
class Promise:
    """What a photo that will be sent was said to be."""

    path: str
    content_type: str
    bytes: int
    expires_at: datetime


@dataclass(frozen=True)
class Slot:
    """Where one PUT of a photo goes, from the site's root or absolute, and the headers that it must have."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


class UploadStore(Protocol):
    """Every method may raise Unavailable, which is worth a retry."""

    def slot(self, promise: Promise, *, now: datetime) -> Slot:
        """Return where to send what was promised."""

    def find(self, promise: Promise) -> str:
        """
        Return the generation of what was sent: what stands at the path later may be another.

        Raises UploadIncomplete where nothing is there yet, UploadMismatch where it is not what was promised.
        """

    def read(self, path: str, *, generation: str, start: int, end: int) -> bytes:
        """Return bytes from a start up to, and without, an end; raises ObjectMissing, UploadMismatch if replaced."""

    def copy(self, path: str, *, generation: str, to: str) -> None:
        """Make an object of exactly this generation, without moving its bytes; raises as `read` does."""

    def delete(self, path: str) -> None:
        """Delete what was sent, whole or in part; it is no error that there is nothing."""


def check(promise: Promise, *, content_type: str | None, size: int) -> None:
    """Raise UploadMismatch for a photo that is not what was promised."""
    if size != promise.bytes:
        raise UploadMismatch(f"The photo was announced with {promise.bytes:,} bytes, and {size:,} were sent.")
    if content_type != promise.content_type:
        raise UploadMismatch(f"The photo was announced as {promise.content_type}, and sent as {content_type}.")


def replaced() -> UploadMismatch:
    return UploadMismatch("The photo was replaced while it was looked at. Ask for a new upload and send it again.")


class FileUploadStore:
    """Uploads in the folder of the pictures, sent to this site's own door; given to a job by a second name."""

    def __init__(self, storage: SignedFileStorage) -> None:
        self._storage = storage

    def slot(self, promise: Promise, *, now: datetime) -> Slot:  # noqa: ARG002
        content = {
            "path": promise.path,
            "type": promise.content_type,
            "bytes": promise.bytes,
            "until": promise.expires_at.timestamp(),
        }
        signed = signing.dumps(content, salt=_SALT, compress=True)
        return Slot(DOOR + signed, {"Content-Type": promise.content_type})

    def promise_of(self, signed: str, *, now: datetime) -> Promise:
        """Return what the last part of an upload's url allows; raises BadLink, UploadExpired or UploadSent."""
        try:
            found: dict[str, Any] = signing.loads(signed, salt=_SALT)
        except signing.BadSignature as error:
            raise BadLink from error
        promise = Promise(found["path"], found["type"], found["bytes"], datetime.fromtimestamp(found["until"], UTC))
        if now >= promise.expires_at:
            raise UploadExpired
        if self._place(promise.path).exists():
            raise UploadSent
        return promise

    @contextmanager
    def receiving(self, promise: Promise) -> Iterator[IO[bytes]]:
        """
        Give a file to write a photo to; it becomes the upload at the end, whole, unless there is one by then.

        Raises UploadMismatch where another number of bytes was written, UploadSent.
        """
        place = self._place(promise.path)
        with in_our_words(promise.path):
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".") as file:
                yield file
                file.flush()
                check(promise, content_type=promise.content_type, size=file.tell())
                try:
                    # Of two at once one makes the name; what has a name is never written to again.
                    os.link(file.name, place)
                except FileExistsError as error:
                    raise UploadSent from error

    def find(self, promise: Promise) -> str:
        try:
            with in_our_words(promise.path):
                found = self._place(promise.path).stat()
        except ObjectMissing as error:
            raise UploadIncomplete from error
        check(promise, content_type=promise.content_type, size=found.st_size)
        return str(found.st_ino)

    def read(self, path: str, *, generation: str, start: int, end: int) -> bytes:
        with in_our_words(path), self._place(path).open("rb") as file:
            if str(os.fstat(file.fileno()).st_ino) != generation:
                raise replaced()
            file.seek(start)
            return file.read(end - start)

    def copy(self, path: str, *, generation: str, to: str) -> None:
        with in_our_words(path):
            place = self._place(to)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(self._place(path), place)
            if str(place.stat().st_ino) != generation:
                raise replaced()

    def delete(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        with in_our_words(folder):
            self._storage.delete_folder(folder)

    def _place(self, path: str) -> Path:
        return Path(self._storage.path(path))


class MemoryUploadStore:
    """Uploads in a dictionary, for unit tests; `put` stands for the client's PUT."""

    def __init__(self, images: MemoryImageStore) -> None:
        self._objects = images.objects
        self._types: dict[str, str] = {}
        self.promises: dict[str, Promise] = {}

    def slot(self, promise: Promise, *, now: datetime) -> Slot:  # noqa: ARG002
        url = f"/memory/{promise.path}"
        self.promises[url] = promise
        return Slot(url, {"Content-Type": promise.content_type})

    def put(self, url: str, content: bytes, content_type: str) -> None:
        path = self.promises[url].path
        if path in self._objects:
            raise UploadSent
        self._objects[path], self._types[path] = content, content_type

    def find(self, promise: Promise) -> str:
        if promise.path not in self._objects:
            raise UploadIncomplete
        content = self._objects[promise.path]
        check(promise, content_type=self._types[promise.path], size=len(content))
        return str(id(content))

    def read(self, path: str, *, generation: str, start: int, end: int) -> bytes:
        return self._object(path, generation)[start:end]

    def copy(self, path: str, *, generation: str, to: str) -> None:
        self._objects[to] = self._object(path, generation)

    def delete(self, path: str) -> None:
        self._objects.pop(path, None)

    def _object(self, path: str, generation: str) -> bytes:
        if path not in self._objects:
            raise ObjectMissing(path)
        if str(id(self._objects[path])) != generation:
            raise replaced()
        return self._objects[path]
