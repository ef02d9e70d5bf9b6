"""Photos by address, from a real server on the loopback interface; nothing else is ever called."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from ssrfguard import Policy

from jobs.errors import BadImageUrl, FileTooLarge, ImageUrlUnreachable, Unavailable
from jobs.fetch import ImageFetcher
from jobs.operations import Limits
from jobs.tests.conftest import png

if TYPE_CHECKING:
    from collections.abc import Iterator

PHOTO = png()


class Pages(BaseHTTPRequestHandler):
    """Answers by path; `asked` has every path that was asked for, with its host."""

    asked: ClassVar[list[tuple[str, str]]] = []
    # Who stayed to the last drop, some twenty seconds.
    drips: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.asked.append((self.headers["Host"], self.path))
        page = self.path.strip("/").partition("?")[0].partition("/")[0]
        getattr(self, f"_{page}", self._photo)()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _photo(self) -> None:
        self._answer(200, PHOTO)

    def _missing(self) -> None:
        self._answer(404)

    def _redirect(self) -> None:
        self._answer(302, Location=self.path.partition("=")[2])

    def _loop(self) -> None:
        self._answer(302, Location="/loop")

    def _packed(self) -> None:
        self._answer(200, b"\x1f\x8b", Content_Encoding="gzip")

    def _large(self) -> None:
        self._answer(200, b"x", Content_Length=str(10**9))

    def _endless(self) -> None:
        self._answer(200, Transfer_Encoding="chunked", Content_Length="")
        while True:
            try:
                self.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            except OSError:
                return

    def _drip(self) -> None:
        self._answer(200, Content_Length="1000")
        self._a_little_at_a_time(b"x")

    def _headers(self) -> None:
        self.send_response(200)
        self.flush_headers()
        self._a_little_at_a_time(b"X-Header: x\r\n")

    def _a_little_at_a_time(self, piece: bytes) -> None:
        for _ in range(400):
            try:
                self.wfile.write(piece)
            except OSError:
                return
            time.sleep(0.05)
        self.drips.append(self.path)


@contextmanager
def serving(host: str, port: int = 0) -> Iterator[int]:
    server = ThreadingHTTPServer((host, port), Pages)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def port() -> Iterator[int]:
    Pages.asked.clear()
    with serving("127.0.0.1") as port:
        yield port


@pytest.fixture
def fetcher(port: int) -> ImageFetcher:
    """One that may go to 127.0.0.1 and to that port, as no other ever may."""
    return ImageFetcher(patience=timedelta(seconds=2), policy=here(port))


def here(port: int) -> Policy:
    return Policy(allowed_networks=("127.0.0.1/32",), allowed_ports=frozenset({port}))  # type: ignore[arg-type]


class Resolver:
    """Answers with one address after the other, and goes on with the last."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.lookups = 0

    def __call__(self, _host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        address = self.addresses[min(self.lookups, len(self.addresses) - 1)]
        self.lookups += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


class TestFetch:
    def test_returns_the_photo_and_the_name_it_has_there(self, fetcher: ImageFetcher, port: int) -> None:
        fetched = fetcher.fetch(f"http://127.0.0.1:{port}/albums/My%20cat.png?size=large", limits=Limits())

        assert fetched == (PHOTO, "My cat.png")

    @pytest.mark.parametrize("path", ["", "/", "/..", "/a%2Fb/", f"/{'x' * 300}.png", "/%00.png"])
    def test_calls_it_a_photo_where_the_address_has_no_file_name(
        self, fetcher: ImageFetcher, port: int, path: str
    ) -> None:
        assert fetcher.fetch(f"http://127.0.0.1:{port}{path}", limits=Limits()) == (PHOTO, "photo")

    def test_follows_a_redirect(self, fetcher: ImageFetcher, port: int) -> None:
        fetched = fetcher.fetch(f"http://127.0.0.1:{port}/redirect?to=/photo.png", limits=Limits())

        assert fetched[0] == PHOTO

    @pytest.mark.parametrize("page", ["missing", "packed"])
    def test_says_that_no_photo_comes_from_there(self, fetcher: ImageFetcher, port: int, page: str) -> None:
        with pytest.raises(ImageUrlUnreachable):
            fetcher.fetch(f"http://127.0.0.1:{port}/{page}", limits=Limits())

    @pytest.mark.parametrize("page", ["drip", "headers"])
    def test_loses_its_patience_with_a_server_that_sends_a_byte_now_and_then(
        self, fetcher: ImageFetcher, port: int, page: str
    ) -> None:
        hasty = replace(fetcher, patience=timedelta(seconds=0.5))

        with pytest.raises(ImageUrlUnreachable):
            hasty.fetch(f"http://127.0.0.1:{port}/{page}", limits=Limits())

        assert Pages.drips == []

    def test_says_that_nobody_answers_there(self, fetcher: ImageFetcher) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            # Bound and not listening: whoever connects is refused.
            nobody = taken.getsockname()[1]
            alone = ImageFetcher(patience=timedelta(seconds=2), policy=here(nobody))

            with pytest.raises(ImageUrlUnreachable):
                alone.fetch(f"http://127.0.0.1:{nobody}/", limits=Limits())

    @pytest.mark.parametrize("page", ["large", "endless"])
    def test_reads_no_more_than_may_be_sent(self, fetcher: ImageFetcher, port: int, page: str) -> None:
        with pytest.raises(FileTooLarge):
            fetcher.fetch(f"http://127.0.0.1:{port}/{page}", limits=Limits(max_bytes=200_000))

    def test_refuses_when_too_many_are_being_fetched(self, port: int) -> None:
        busy = ImageFetcher(patience=timedelta(seconds=0.1), policy=here(port), _free=threading.BoundedSemaphore(1))
        busy._free.acquire()

        with pytest.raises(Unavailable):
            busy.fetch(f"http://127.0.0.1:{port}/photo.png", limits=Limits())

        busy._free.release()
        assert busy.fetch(f"http://127.0.0.1:{port}/photo.png", limits=Limits())[0] == PHOTO

    def test_writes_no_address_into_the_log(
        self, fetcher: ImageFetcher, port: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")

        fetcher.fetch(f"http://127.0.0.1:{port}/photo.png?signature=secret", limits=Limits())

        assert "signature" not in caplog.text


class TestAnAddressThatWeDoNotGoTo:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "photo.png",
            "//example.com/photo.png",
            "file:///etc/passwd",
            "ftp://example.com/photo.png",
            "data:image/png;base64,AAAA",
            "http://",
            "http://[::1",
            "http://user:password@example.com/photo.png",
            "http://example.com:22/photo.png",
            "http://127.0.0.1/photo.png",
            "http://localhost/photo.png",
            "http://0.0.0.0/photo.png",
            "http://[::1]/photo.png",
            "http://[::ffff:127.0.0.1]/photo.png",
            "http://2130706433/photo.png",
            "http://0x7f.1/photo.png",
            "http://10.0.0.8/photo.png",
            "http://192.168.1.1/photo.png",
            "http://169.254.169.254/computeMetadata/v1/",
            "http://100.64.0.1/photo.png",
            "https://example.com/" + "x" * 9_000,
            "http://exa mple.com/photo.png",
            "http://xn--/photo.png",
            "http://xn--zzzzzz.com/photo.png",
            "http://xn--a-ecp.ru/photo.png",
            "http://example.com/photo\r\nX-Header: 1",
        ],
    )
    def test_is_refused_in_one_sentence_that_says_nothing_of_our_network(self, url: str) -> None:
        with pytest.raises(BadImageUrl) as refusal:
            ImageFetcher(patience=timedelta(seconds=2)).fetch(url, limits=Limits())

        assert str(refusal.value) == "image_url must be a public http or https address."

    def test_is_refused_behind_a_redirect_and_never_asked(self, fetcher: ImageFetcher, port: int) -> None:
        with serving("127.0.0.2", port), pytest.raises(BadImageUrl):
            fetcher.fetch(f"http://127.0.0.1:{port}/redirect?to=http://127.0.0.2:{port}/photo.png", limits=Limits())

        assert [host for host, _ in Pages.asked] == [f"127.0.0.1:{port}"]

    def test_is_refused_behind_a_redirect_to_a_name_that_is_none(self, fetcher: ImageFetcher, port: int) -> None:
        with pytest.raises((BadImageUrl, ImageUrlUnreachable)):
            fetcher.fetch(f"http://127.0.0.1:{port}/redirect?to=http://xn--a-ecp.ru:{port}/photo.png", limits=Limits())

    def test_is_refused_when_redirects_never_end(self, fetcher: ImageFetcher, port: int) -> None:
        with pytest.raises(BadImageUrl):
            fetcher.fetch(f"http://127.0.0.1:{port}/loop", limits=Limits())


class TestANameThatIsMovedBetweenTheCheckAndTheCall:
    def test_is_called_where_it_was_checked(self, port: int) -> None:
        moving = Resolver("127.0.0.1", "127.0.0.2")
        fetcher = ImageFetcher(patience=timedelta(seconds=2), policy=here(port), resolver=moving)

        with serving("127.0.0.2", port):
            fetched = fetcher.fetch(f"http://photos.example:{port}/photo.png", limits=Limits())

        assert fetched[0] == PHOTO
        assert moving.lookups == 1

    def test_is_refused_when_it_has_moved_before_a_redirect_comes_back(self, port: int) -> None:
        moving = Resolver("127.0.0.1", "127.0.0.2")
        fetcher = ImageFetcher(patience=timedelta(seconds=2), policy=here(port), resolver=moving)
        elsewhere = f"http://other.example:{port}/photo.png"

        with serving("127.0.0.2", port), pytest.raises(BadImageUrl):
            fetcher.fetch(f"http://photos.example:{port}/redirect?to={elsewhere}", limits=Limits())

        assert Pages.asked == [(f"photos.example:{port}", f"/redirect?to={elsewhere}")]
