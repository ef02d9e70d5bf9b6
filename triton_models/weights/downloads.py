"""
Downloads over HTTP that go on where they were cut, in this run or the next.

The standard library does it: the light installation has no client of the model hub, and its protocol for files is a GET
with a range (docs/decisions/0029). Proxies and certificates are those of the environment (HTTPS_PROXY, SSL_CERT_FILE).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from triton_models.errors import WeightsNotFetched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from http.client import HTTPMessage, HTTPResponse
    from pathlib import Path

_T = TypeVar("_T")

HUB = "https://huggingface.co"
_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 30
# Seconds between tries that brought nothing; whatever comes begins them anew.
_PAUSES = (1, 2, 4, 8)
_WORTH_A_RETRY = {408, 425, 429, 500, 502, 503, 504}
_THIS_MACHINE = {"127.0.0.1", "localhost", "::1"}


class _Cut(Exception):
    """The answer ended early, or none came: worth another try. connected: somebody answered at all."""

    def __init__(self, reason: object, *, connected: bool = True) -> None:
        super().__init__(str(reason))
        self.connected = connected


@dataclass(frozen=True)
class Wanted:
    """A file to download: its address, its size in bytes and its sha256."""

    url: str
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def host(self) -> str:
        return _host(self.url)


class Downloader:
    """
    What talks to hosts; knows the model hub's address (HF_ENDPOINT) and the token for it (HF_TOKEN).

    The token goes to the hub alone, never along with a redirection to another host, and only encrypted or to this
    machine. pause: waits that many seconds.
    """

    def __init__(
        self, *, environment: Mapping[str, str] = os.environ, pause: Callable[[float], None] | None = None
    ) -> None:
        self.hub = (environment.get("HF_ENDPOINT") or HUB).rstrip("/")
        self._token = environment.get("HF_TOKEN", "").strip()
        self._pause = pause or time.sleep
        self._opener = urllib.request.build_opener(_Redirections(self._authorize))

    def json(self, url: str) -> Any:  # noqa: ANN401 - whatever the hub says
        """Return what is there. Raises WeightsNotFetched when that cannot be had."""
        try:
            return json.loads(self.content(url))
        except ValueError as error:
            raise WeightsNotFetched(f"{_host(url)} answered with something that is not JSON.") from error

    def content(self, url: str) -> bytes:
        """Return a small file. Raises WeightsNotFetched when it cannot be had."""

        def read() -> bytes:
            with self._open(url) as response:
                return b"".join(_chunks(response))

        return self._insist(read, url, came=lambda: 0)

    def file(self, wanted: Wanted, partial: Path, *, on_bytes: Callable[[int], None]) -> None:
        """
        Bring a file to where `partial` lies, going on with what lies there already, and check its sha256.

        on_bytes: told how many bytes there are. What came stays for the next try when the line fails or the process
        ends; what is wrong is deleted. Raises WeightsNotFetched, naming host and file; OSError when the disk is full.
        """
        partial.touch()
        resumed = partial.stat().st_size > 0
        try:
            self._insist(
                lambda: self._go_on(wanted, partial, on_bytes), wanted.url, came=lambda: partial.stat().st_size
            )
        except WeightsNotFetched:
            if not partial.stat().st_size:
                partial.unlink()
            raise
        found = _sha256(partial)
        if found == wanted.sha256:
            return
        partial.unlink()
        if resumed:
            # What lay there may have been spoilt by a crash: the whole file gets one chance.
            self.file(wanted, partial, on_bytes=on_bytes)
            return
        raise WeightsNotFetched(
            f"{wanted.name} from {wanted.host} has the wrong sha256: {found} instead of {wanted.sha256}; "
            "it was not kept."
        )

    def _insist(self, attempt: Callable[[], _T], url: str, *, came: Callable[[], int]) -> _T:
        """Try until it succeeds; give up when several tries in a row brought no byte."""
        idle, had = 0, came()
        while True:
            try:
                return attempt()
            except _Cut as cut:
                idle, had = (0 if came() > had else idle + 1), came()
                # Where nobody has answered yet, more patience only hides that there is no way.
                if idle > (len(_PAUSES) if cut.connected or had else 1):
                    raise _unreachable(url, cut) from cut
                self._pause(_PAUSES[max(idle - 1, 0)])

    def _go_on(self, wanted: Wanted, partial: Path, on_bytes: Callable[[int], None]) -> None:
        with partial.open("r+b") as file:
            done = file.seek(0, os.SEEK_END)
            if done > wanted.bytes:
                done = _start_over(file)
            if done == wanted.bytes:
                return
            with self._open(wanted.url, start=done) as response:
                done = _begin(response, wanted, file)
                for chunk in _chunks(response):
                    done += file.write(chunk)
                    on_bytes(done)
                    if done > wanted.bytes:
                        break
            file.flush()
            os.fsync(file.fileno())
        if done < wanted.bytes:
            raise _Cut(f"it ended after {done} of {wanted.bytes} bytes")

    def _open(self, url: str, *, start: int = 0) -> HTTPResponse:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise WeightsNotFetched(f"{url} is not an address of the web.")
        headers = {"User-Agent": "imagen-models"} | ({"Range": f"bytes={start}-"} if start else {})
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked above
        self._authorize(request)
        try:
            return cast("HTTPResponse", self._opener.open(request, timeout=_TIMEOUT_SECONDS))
        except HTTPError as error:
            error.close()
            if error.code in _WORTH_A_RETRY:
                raise _Cut(f"it answered with {error.code}") from error
            raise _refused(url, error.code) from error
        except URLError as error:
            raise _Cut(error.reason, connected=False) from error
        except (OSError, HTTPException) as error:
            raise _Cut(error) from error

    def _authorize(self, request: urllib.request.Request) -> None:
        asked, hub = urlsplit(request.full_url), urlsplit(self.hub)
        safe = hub.scheme == "https" or hub.hostname in _THIS_MACHINE
        if self._token and safe and (asked.scheme, asked.netloc) == (hub.scheme, hub.netloc):
            # Unredirected: urllib copies all other headers into the request that follows a redirection.
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections, never from encrypted to plain; the token is put on anew, or not at all."""

    def __init__(self, authorize: Callable[[urllib.request.Request], None]) -> None:
        self._authorize = authorize

    def redirect_request(  # noqa: PLR0917 - the library's
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise HTTPError(newurl, code, "a redirection away from https", headers, fp)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            self._authorize(request)
        return request


def _begin(response: HTTPResponse, wanted: Wanted, file: IO[bytes]) -> int:
    """Return the byte that the answer begins with, where the file now stands. Refuses another file by its size."""
    done = file.tell()
    if response.status == 206:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if span.partition("-")[0] != str(done):
            _start_over(file)
            raise _Cut("it sent another part of the file than it was asked for")
    else:
        total = response.headers.get("Content-Length", "")
        done = _start_over(file)
    if total.isdecimal() and int(total) != wanted.bytes:
        raise WeightsNotFetched(
            f"{wanted.name} has {total} bytes at {wanted.host} instead of {wanted.bytes}: it is not the file that the "
            "lock names, and was not downloaded."
        )
    return done


def _start_over(file: IO[bytes]) -> int:
    file.seek(0)
    file.truncate()
    return 0


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise _Cut(error) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _unreachable(url: str, cut: _Cut) -> WeightsNotFetched:
    if cut.connected:
        return WeightsNotFetched(
            f"{_host(url)} does not deliver {url.rsplit('/', 1)[-1]}: {cut}. What came is kept; the same command goes "
            "on from there."
        )
    return WeightsNotFetched(
        f"{_host(url)} cannot be reached from here ({cut}). The light engines need nothing from there: `fetch` without "
        "--engine has all of theirs, and `make run` serves with them."
    )


def _refused(url: str, code: int) -> WeightsNotFetched:
    host, name = _host(url), url.rsplit("/", 1)[-1]
    if code in {401, 403}:
        return WeightsNotFetched(
            f"{host} refuses {name} ({code}): its owner has withdrawn it, or asks for an account that has agreed to "
            "the terms there; then set HF_TOKEN to a token of such an account."
        )
    if code == 404:
        return WeightsNotFetched(f"{host} has no {name} (404): the commit that the lock names, or the file, is gone.")
    return WeightsNotFetched(f"{host} answers with {code} when asked for {name}.")
