"""
Photos that a request names by their address instead of sending them: the only place that calls a stranger's server.

An address comes from outside, so it may name what only we can reach: a metadata service, a database, a neighbour.
ssrfguard resolves a name once, checks every answer and connects to what it checked (OWASP, "Server Side Request Forgery
Prevention"), for each redirect anew. The rest is here: bytes, seconds and requests at once are bounded.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx
from ssrfguard import Policy, SSRFGuardError
from ssrfguard.httpx import Client, SafeTransport

from jobs import uploads
from jobs.errors import BadFilename, BadImageUrl, ImageUrlUnreachable, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from ssrfguard import Resolver

    from jobs.operations import Limits

_AT_ONCE = 8
_CUT_EVERY_SECONDS = 0.5
_HEADERS = {"User-Agent": "Imagen/1 (photo by address)", "Accept": "image/*", "Accept-Encoding": "identity"}
_NAMELESS = "photo"


@dataclass(frozen=True)
class ImageFetcher:
    """
    Fetches photos for requests; shared by the threads of a process.

    policy: which addresses may be reached, by default public ones at the usual ports. patience: for all of one photo,
    redirects included; a name's look-up is bounded by the system's own resolver. resolver: stands for getaddrinfo.
    """

    patience: timedelta
    policy: Policy = field(default_factory=Policy)
    resolver: Resolver | None = None
    # A slow server holds a thread of ours: a few may, not all.
    _free: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(_AT_ONCE))

    def fetch(self, url: str, *, limits: Limits) -> tuple[bytes, str]:
        """
        Return the bytes at an address, and a file name from it.

        Raises BadImageUrl for an address that is none or that we do not go to, ImageUrlUnreachable when nothing usable
        comes from there, FileTooLarge, and Unavailable when too many are being fetched already.
        """
        with (
            self._one_of_few(),
            _in_our_words(),
            self._connections() as connections,
            Client(transport=connections, timeout=self._seconds / 2, trust_env=False) as client,
            client.stream("GET", url, headers=_HEADERS, follow_redirects=True) as response,
        ):
            return _read(response, limits=limits), filename_of(url)

    @property
    def _seconds(self) -> float:
        return self.patience.total_seconds()

    @contextmanager
    def _one_of_few(self) -> Iterator[None]:
        if not self._free.acquire(timeout=self._seconds / 2):
            raise Unavailable("Too many photos are being fetched by their addresses just now; try again.")
        try:
            yield
        finally:
            self._free.release()

    @contextmanager
    def _connections(self) -> Iterator[SafeTransport]:
        """
        Give connections for one photo, which are cut when the patience is over.

        A client's own timeouts are for each piece: a server that sends one byte a second never meets them.
        """
        transport, done = SafeTransport(policy=self.policy, resolver=self.resolver), threading.Event()

        def cut() -> None:
            pause = self._seconds
            # Again and again: a redirect may open a new connection just then.
            while not done.wait(pause):
                transport.close()
                pause = _CUT_EVERY_SECONDS

        watcher = threading.Thread(target=cut, daemon=True)
        watcher.start()
        try:
            yield transport
        finally:
            done.set()
            watcher.join()


def _read(response: httpx.Response, *, limits: Limits) -> bytes:
    if response.status_code != httpx.codes.OK:
        raise ImageUrlUnreachable(f"The photo's address answered {response.status_code} instead of the photo.")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        # Unpacked it may be a thousand times larger than what its length says.
        raise ImageUrlUnreachable("The photo's address sent it compressed, although we asked for it as it is.")
    told = response.headers.get("Content-Length", "")
    uploads.check_size(int(told) if told.isdecimal() and int(told) else 1, limits=limits)
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        uploads.check_size(len(content), limits=limits)
    return bytes(content)


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except (SSRFGuardError, httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        # UnicodeError: what idna, below httpx, says to a name that is no name.
        # Without the reason: it would tell a stranger what our names and networks are.
        raise BadImageUrl from error
    except httpx.TimeoutException as error:
        raise ImageUrlUnreachable("The photo's address did not send it in time.") from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise ImageUrlUnreachable("Nothing could be fetched from the photo's address.") from error


def filename_of(url: str) -> str:
    """Return the last part of an address's path, or "photo" where that is no file name."""
    try:
        name = unquote(urlsplit(url).path).rpartition("/")[2]
        uploads.check_filename(name)
    except (ValueError, BadFilename):
        return _NAMELESS
    return name or _NAMELESS
