"""
Objects of a Cloud Storage bucket, as a storage of Django's.

What django-storages does is kept, its client and its paths; reading and writing are here, because it knows no deadline
and looks an object up before it reads or writes it. Whatever the vendor's library raises leaves here as an OSError.
"""

from __future__ import annotations

import io
import mimetypes
import threading
import time
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property, partial
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import google.auth
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.files.base import File
from google.api_core.exceptions import GoogleAPICallError, NotFound, RetryError
from google.auth import iam
from google.auth.credentials import AnonymousCredentials
from google.auth.crypt.rsa import RSASigner
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.cloud.storage import Client
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from google.oauth2 import service_account
from storages.backends.gcloud import GoogleCloudStorage

from jobs.image_store import FolderStorage
from jobs.links import ADDRESS_LEFT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.cloud.storage import Blob

    from jobs.links import Link

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
# Of each request: to connect, and then for each piece of the answer.
TIMEOUT = (3.05, 10)
# Short: a worker waits an outage out by itself, and a person at a form would rather be told.
RETRY = DEFAULT_RETRY.with_timeout(15)
_SIGN_SECONDS = 5
# An address of Google's outlives the link that led to it by at most this.
_ADDRESS_LIFETIME = timedelta(minutes=10)
_MOST_ADDRESSES = 10_000


class BucketStorage(FolderStorage, GoogleCloudStorage):  # type: ignore[misc]
    """
    A bucket, whose objects people fetch from Google by addresses that we sign.

    signer: the service account that signs, by the IAM API: there is no key on this machine. endpoint: "http://host:port"
    of a stand-in for Google's service; it needs no account, and a key made for this process signs.
    """

    def __init__(self, *, project: str, bucket: str, signer: str = "", endpoint: str = "") -> None:
        super().__init__(project_id=project, bucket_name=bucket, sa_email=signer or None)
        self._endpoint = endpoint
        self._addresses: dict[Link, tuple[str, float]] = {}
        self._lock = threading.Lock()

    @cached_property
    def client(self) -> Client:
        options = {"api_endpoint": self._endpoint} if self._endpoint else None
        return Client(project=self.project_id, credentials=self._account, client_options=options)

    @cached_property
    def signing_account(self) -> service_account.Credentials:
        """The account in whose name addresses are signed."""
        if self._endpoint:
            return _throwaway_account()
        signer = iam.Signer(partial(Request(), timeout=_SIGN_SECONDS), self._account, self.sa_email)
        return service_account.Credentials(signer, self.sa_email, token_uri="")

    @cached_property
    def _account(self) -> Any:  # noqa: ANN401 - one of many classes
        return AnonymousCredentials() if self._endpoint else google.auth.default(scopes=_SCOPES)[0]

    def blob(self, path: str, *, generation: int | None = None) -> Blob:
        return self.bucket.blob(self._normalize_name(path), generation=generation)

    def _open(self, name: str, mode: str = "rb") -> File[bytes]:  # noqa: ARG002 - Django's signature
        with as_os_errors(name):
            return File(io.BytesIO(self.blob(name).download_as_bytes(timeout=TIMEOUT, retry=RETRY)), name=name)

    def _save(self, name: str, content: IO[bytes]) -> str:
        size = content.seek(0, io.SEEK_END)
        content.seek(0)
        with as_os_errors(name):
            self.blob(name).upload_from_file(
                content, size=size, content_type=content_type_of(name), timeout=TIMEOUT, retry=RETRY
            )
        return name

    def delete(self, name: str) -> None:
        with as_os_errors(name), suppress(NotFound):
            self.blob(name).delete(timeout=TIMEOUT, retry=RETRY)

    def delete_folder(self, folder: str) -> None:
        with as_os_errors(folder):
            for blob in self.bucket.list_blobs(prefix=f"{folder}/", timeout=TIMEOUT, retry=RETRY):
                with suppress(NotFound):
                    blob.delete(timeout=TIMEOUT, retry=RETRY)

    def address_of(self, link: Link) -> str:
        """Return where at Google a link's object is to be had for some minutes; signed at most every few of them."""
        now = time.monotonic()
        address, until = self._addresses.get(link, ("", 0.0))
        if until - now > ADDRESS_LEFT.total_seconds():
            return address
        address = self.signed(
            link.path,
            method="GET",
            lifetime=_ADDRESS_LIFETIME,
            response_disposition=f"attachment; filename*=UTF-8''{quote(link.filename, safe='')}",
        )
        with self._lock:
            if len(self._addresses) >= _MOST_ADDRESSES:
                self._addresses.clear()
            self._addresses[link] = (address, now + _ADDRESS_LIFETIME.total_seconds())
        return address

    def signed(
        self,
        path: str,
        *,
        method: str,
        lifetime: timedelta,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        response_disposition: str | None = None,
    ) -> str:
        """Return an address that lets whoever has it do one thing with one object (V4 signing). Raises OSError."""
        with as_os_errors(path):
            address: str = self.blob(path).generate_signed_url(
                version="v4",
                method=method,
                expiration=lifetime,
                headers=dict(headers or {}),
                content_type=content_type,
                response_disposition=response_disposition,
                credentials=self.signing_account,
            )
        return address


@contextmanager
def as_os_errors(path: str) -> Iterator[None]:
    """Turn what the vendor's libraries raise into FileNotFoundError and OSError."""
    try:
        yield
    except NotFound as error:
        raise FileNotFoundError(path) from error
    except (GoogleAPICallError, RetryError, GoogleAuthError, DataCorruption) as error:
        raise OSError(f"Cloud Storage did not do it: {type(error).__name__}") from error


def content_type_of(path: str) -> str:
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def _throwaway_account() -> service_account.Credentials:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return service_account.Credentials(RSASigner(key), "stand-in@localhost", token_uri="")
