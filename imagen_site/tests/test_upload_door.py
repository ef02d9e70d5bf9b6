"""The door of one machine for direct uploads, as the server of the site calls it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
from asgiref.testing import ApplicationCommunicator
from django.utils import timezone

from imagen_site.tests.test_body_limit import ask, scope
from imagen_site.upload_door import UploadDoor
from jobs.image_store import SignedFileStorage, upload_path
from jobs.upload_store import FileUploadStore, Promise

if TYPE_CHECKING:
    from pathlib import Path

    from imagen_site.body_limit import Asgi, Scope

PHOTO = bytes(range(256)) * 20


@pytest.fixture
def store(tmp_path: Path) -> FileUploadStore:
    return FileUploadStore(SignedFileStorage(location=tmp_path))


@pytest.fixture
def door(store: FileUploadStore) -> UploadDoor:
    return UploadDoor(_inner, lambda: store)


async def _inner(_scope: Scope, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def promise() -> Promise:
    return Promise(upload_path(uuid4(), "a.png"), "image/png", len(PHOTO), timezone.now() + timedelta(hours=1))


def put(url: str, **headers: str) -> Scope:
    return {**scope(url, **{"content_type": "image/png", **headers}), "method": "PUT"}


def url_of(store: FileUploadStore, promise: Promise) -> str:
    return store.slot(promise, now=timezone.now()).url


def refused(answer: tuple[int, dict[str, str], bytes], status: int, code: str) -> None:
    assert (answer[0], json.loads(answer[2])["code"]) == (status, code)
    assert (answer[1]["content-type"], answer[1]["connection"]) == ("application/problem+json", "close")


class TestAnUpload:
    async def test_lies_whole_where_it_was_promised(
        self, door: UploadDoor, store: FileUploadStore, promise: Promise, tmp_path: Path
    ) -> None:
        answer = await ask(door, put(url_of(store, promise)), PHOTO[:2000], PHOTO[2000:])

        assert (answer[0], answer[2]) == (200, b"")
        assert (tmp_path / promise.path).read_bytes() == PHOTO

    @pytest.mark.parametrize(("change", "status", "code"), [(-5, 404, "bad_link"), (12, 404, "bad_link")])
    async def test_to_a_forged_url_is_refused_before_a_byte_is_read(
        self, door: UploadDoor, store: FileUploadStore, promise: Promise, change: int, status: int, code: str
    ) -> None:
        url = url_of(store, promise)
        forged = url[:change] + ("A" if url[change] != "A" else "B") + url[change:][1:]

        refused(await _announce(door, put(forged)), status, code)

    async def test_of_an_expired_url_is_refused_before_a_byte_is_read(
        self, door: UploadDoor, store: FileUploadStore
    ) -> None:
        late = Promise("uploads/1/a.png", "image/png", 7, timezone.now() - timedelta(seconds=1))

        refused(await _announce(door, put(url_of(store, late))), 410, "upload_expired")

    @pytest.mark.parametrize(
        "headers",
        [{"content_type": "text/html"}, {"content_type": ""}, {"content_length": "7"}, {"content_length": "5121"}],
        ids=str,
    )
    async def test_that_says_it_is_another_is_refused_before_a_byte_is_read(
        self, door: UploadDoor, store: FileUploadStore, promise: Promise, headers: dict[str, str]
    ) -> None:
        refused(await _announce(door, put(url_of(store, promise), **headers)), 422, "upload_mismatch")

    @pytest.mark.parametrize("content", [PHOTO[:-1], PHOTO + b"x", b""], ids=["short", "long", "nothing"])
    async def test_of_another_size_is_refused_and_leaves_nothing(
        self, door: UploadDoor, store: FileUploadStore, promise: Promise, content: bytes, tmp_path: Path
    ) -> None:
        refused(await ask(door, put(url_of(store, promise)), content), 422, "upload_mismatch")

        assert files_in(tmp_path) == []
        assert (await ask(door, put(url_of(store, promise)), PHOTO))[0] == 200

    async def test_that_was_sent_is_not_replaced(
        self, door: UploadDoor, store: FileUploadStore, promise: Promise, tmp_path: Path
    ) -> None:
        await ask(door, put(url_of(store, promise)), PHOTO)

        refused(await _announce(door, put(url_of(store, promise))), 409, "upload_sent")

        assert (tmp_path / promise.path).read_bytes() == PHOTO

    async def test_of_two_at_once_one_wins_whole(
        self, door: UploadDoor, store: FileUploadStore, promise: Promise, tmp_path: Path
    ) -> None:
        slow = ApplicationCommunicator(door, put(url_of(store, promise)))
        await slow.send_input({"type": "http.request", "body": PHOTO[::-1][:100], "more_body": True})

        fast = await ask(door, put(url_of(store, promise)), PHOTO)
        await slow.send_input({"type": "http.request", "body": PHOTO[::-1][100:]})
        start = await slow.receive_output(5)
        await slow.receive_output(5)
        await slow.wait(5)

        assert (fast[0], start["status"]) == (200, 409)
        assert (tmp_path / promise.path).read_bytes() == PHOTO

    async def test_that_breaks_off_leaves_nothing_and_can_be_sent_again(
        self, door: UploadDoor, store: FileUploadStore, promise: Promise, tmp_path: Path
    ) -> None:
        broken = ApplicationCommunicator(door, put(url_of(store, promise)))
        await broken.send_input({"type": "http.request", "body": PHOTO[:100], "more_body": True})
        await broken.send_input({"type": "http.disconnect"})
        await broken.wait(5)

        assert broken.output_queue.empty()
        assert files_in(tmp_path) == []
        assert (await ask(door, put(url_of(store, promise)), PHOTO))[0] == 200


class TestTheDoor:
    @pytest.mark.parametrize(
        "request_scope", [scope("/uploads/x"), {**scope("/api/v1/jobs"), "method": "PUT"}], ids=["post", "elsewhere"]
    )
    async def test_lets_everything_else_through(self, door: UploadDoor, request_scope: Scope) -> None:
        assert (await ask(door, request_scope, b"x"))[0] == 299

    async def test_is_shut_where_photos_are_sent_to_a_bucket(self, store: FileUploadStore, promise: Promise) -> None:
        assert (await ask(UploadDoor(_inner, lambda: None), put(url_of(store, promise)), PHOTO))[0] == 299

    async def test_is_that_of_the_site_and_takes_more_than_a_form_may_have(self) -> None:
        from imagen_site.asgi import application
        from jobs import adapters

        large = Promise(upload_path(uuid4(), "a.png"), "image/png", 33 * 2**20, timezone.now() + timedelta(hours=1))
        store = adapters.upload_door()
        assert store is not None

        answer = await ask(cast("Asgi", application), put(url_of(store, large)), *[bytes(11 * 2**20)] * 3)

        assert answer[0] == 200
        store.delete(large.path)

    def test_is_in_no_log(self, store: FileUploadStore, promise: Promise) -> None:
        from imagen_site.logs import redact

        line = redact(None, "info", {"request": f"PUT {url_of(store, promise)}"})

        assert re.fullmatch(r"PUT /uploads/\[redacted\]", line["request"])


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def _announce(door: UploadDoor, request: Scope) -> tuple[int, dict[str, str], bytes]:
    """Send the head of a request alone, and return what is answered to it."""
    connection = ApplicationCommunicator(door, request)
    start, end = await connection.receive_output(5), await connection.receive_output(5)
    await connection.wait(5)
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, end["body"]
