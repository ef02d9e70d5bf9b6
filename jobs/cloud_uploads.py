"""Photos that people send to the bucket themselves, by addresses that we sign; their bytes never pass through us."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from google.api_core.exceptions import PreconditionFailed

from jobs.cloud_storage import RETRY, TIMEOUT, as_os_errors
from jobs.errors import ObjectMissing, UploadIncomplete
from jobs.image_store import in_our_words
from jobs.upload_store import Slot, check, replaced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from jobs.cloud_storage import BucketStorage
    from jobs.upload_store import Promise


class BucketUploadStore:
    """An UploadStore over a bucket. Its CORS rules must name the headers of a slot, for pages that send to it."""

    def __init__(self, storage: BucketStorage) -> None:
        self._storage = storage

    def slot(self, promise: Promise, *, now: datetime) -> Slot:
        headers = {
            # Google counts for us, and replaces nothing.
            "x-goog-content-length-range": f"{promise.bytes},{promise.bytes}",
            "x-goog-if-generation-match": "0",
        }
        with in_our_words(promise.path):
            url = self._storage.signed(
                promise.path,
                method="PUT",
                lifetime=promise.expires_at - now,
                content_type=promise.content_type,
                headers=headers,
            )
        return Slot(url, {"Content-Type": promise.content_type, **headers})

    def find(self, promise: Promise) -> str:
        blob = self._storage.blob(promise.path)
        try:
            with _ours(promise.path):
                blob.reload(timeout=TIMEOUT, retry=RETRY)
        except ObjectMissing as error:
            raise UploadIncomplete from error
        check(promise, content_type=blob.content_type, size=blob.size)
        return str(blob.generation)

    def read(self, path: str, *, generation: str, start: int, end: int) -> bytes:
        with _ours(path):
            content: bytes = self._storage.blob(path, generation=int(generation)).download_as_bytes(
                start=start, end=end - 1, timeout=TIMEOUT, retry=RETRY
            )
        return content

    def copy(self, path: str, *, generation: str, to: str) -> None:
        source, token = self._storage.blob(path, generation=int(generation)), None
        with _ours(path):
            while True:
                # Within one bucket Google copies no bytes; were it another, it would do so a part at each call.
                token, _, _ = self._storage.blob(to).rewrite(source, token=token, timeout=TIMEOUT, retry=RETRY)
                if token is None:
                    return

    def delete(self, path: str) -> None:
        with in_our_words(path):
            self._storage.delete(path)


@contextmanager
def _ours(path: str) -> Iterator[None]:
    with in_our_words(path), as_os_errors(path):
        try:
            yield
        except PreconditionFailed as error:
            raise replaced() from error
