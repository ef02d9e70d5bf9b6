from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING, Any, cast

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application

from imagen_site.body_limit import MAX_BODY_BYTES, BodyLimit
from jobs.operations import Limits

if TYPE_CHECKING:
    from imagen_site.body_limit import Asgi, Receive, Scope, Send

LIMIT = 1_000


class Reader:
    """An application that reads the whole body and says how long it was."""

    def __init__(self) -> None:
        self.read = 0
        self.begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun = True
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.read += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(self.read).encode()})


def scope(path: str = "/", **headers: str) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 1),
    }


async def ask(app: Any, request: Scope, *chunks: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send a body in chunks; return status, headers and body of the answer."""
    connection = ApplicationCommunicator(app, request)
    for number, chunk in enumerate(chunks, 1):
        await connection.send_input({"type": "http.request", "body": chunk, "more_body": number < len(chunks)})
    start = await connection.receive_output(5)
    body = b""
    more = True
    while more:
        part = await connection.receive_output(5)
        body, more = body + part["body"], part.get("more_body", False)
    await connection.send_input({"type": "http.disconnect"})
    await connection.wait(5)
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body


def refused(answer: tuple[int, dict[str, str], bytes]) -> None:
    status, headers, body = answer
    assert (status, headers["content-type"], headers["connection"]) == (413, "application/problem+json", "close")
    assert int(headers["content-length"]) == len(body)
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (413, "file_too_large")
    assert "30 MB" in problem["detail"]


class TestABody:
    async def test_that_is_announced_as_too_large_is_refused_before_it_is_read(self) -> None:
        reader = Reader()

        refused(await ask(BodyLimit(reader, limit=LIMIT), scope(content_length="1001")))

        assert not reader.begun

    async def test_that_turns_out_too_large_is_refused_and_the_rest_never_read(self) -> None:
        reader = Reader()

        refused(await ask(BodyLimit(reader, limit=LIMIT), scope(), *[b"x" * 400] * 10))

        assert reader.read == 800

    async def test_that_is_longer_than_announced_is_refused(self) -> None:
        refused(await ask(BodyLimit(Reader(), limit=LIMIT), scope(content_length="10"), b"x" * 2_000))

    @pytest.mark.parametrize("announced", [{}, {"content_length": "1000"}])
    async def test_of_exactly_the_limit_passes(self, announced: dict[str, str]) -> None:
        answer = await ask(BodyLimit(Reader(), limit=LIMIT), scope(**announced), b"x" * 600, b"x" * 400)

        assert (answer[0], answer[2]) == (200, b"1000")

    @pytest.mark.parametrize("announced", ["many", "-5", "1e9", "", "٣", "9" * 5_000])
    async def test_of_a_nonsensical_length_is_counted_as_it_comes(self, announced: str) -> None:
        request = scope(content_length=announced)

        refused(await ask(BodyLimit(Reader(), limit=LIMIT), request, b"x" * 2_000))

    async def test_that_is_missing_passes(self) -> None:
        assert (await ask(BodyLimit(Reader(), limit=LIMIT), scope(), b""))[0] == 200

    async def test_whose_client_went_away_is_given_up(self) -> None:
        reader = Reader()
        connection = ApplicationCommunicator(BodyLimit(reader, limit=LIMIT), scope())

        await connection.send_input({"type": "http.request", "body": b"x", "more_body": True})
        await connection.send_input({"type": "http.disconnect"})
        await connection.wait(5)

        assert connection.output_queue.empty()


@pytest.fixture
def site() -> Asgi:
    # Made on its first import, which looks for the folder of static files that the run has by now.
    from imagen_site.asgi import application

    return cast("Asgi", application)


class TestTheSite:
    def test_takes_the_largest_photo_and_the_form_around_it(self) -> None:
        assert Limits().max_bytes < MAX_BODY_BYTES < Limits().max_bytes + 2 * 2**20

    async def test_refuses_what_is_announced_as_too_large(self, site: Asgi) -> None:
        refused(await ask(site, scope("/api/v1/images/upscale", content_length=str(MAX_BODY_BYTES + 1))))

    async def test_keeps_nothing_of_a_body_that_turns_out_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        files: list[Any] = []
        make = tempfile.SpooledTemporaryFile

        def noted(*given: Any, **named: Any) -> Any:
            files.append(make(*given, **named))
            return files[-1]

        monkeypatch.setattr(tempfile, "SpooledTemporaryFile", noted)
        app = BodyLimit(get_asgi_application(), limit=LIMIT)

        refused(await ask(app, scope("/api/v1/images/upscale"), *[b"x" * 400] * 10))

        (file,) = files
        assert file.closed
