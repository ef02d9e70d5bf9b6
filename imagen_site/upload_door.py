"""
Where one machine takes the photos that the cloud's clients send to the bucket: PUT /uploads/<signed>.

It stands before Django, which would write a whole body to disk before anybody could ask whether it may come at all.
Here the url is held against its signature first, and the bytes go to where they stay.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import IO, TYPE_CHECKING

import structlog
from django.utils import timezone

from imagen_site.api_errors import CONTENT_TYPE, problem, status_of
from imagen_site.body_limit import content_length
from jobs.errors import JobError, UploadMismatch
from jobs.upload_store import DOOR, check

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagen_site.body_limit import Asgi, Receive, Scope, Send
    from jobs.upload_store import FileUploadStore, Promise

log = structlog.get_logger(__name__)

# Enough for a change of threads to cost nothing beside the writing.
_PIECE_BYTES = 1024 * 1024


class _ClientGone(Exception):
    """Nobody is left to be answered."""


class UploadDoor:
    """Takes uploads; everything else goes on to `inner`. store: None where clients send elsewhere."""

    def __init__(self, inner: Asgi, store: Callable[[], FileUploadStore | None]) -> None:
        self._inner, self._store = inner, store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        store = self._store() if scope["method"] == "PUT" and path.startswith(DOOR) else None
        if store is None:
            await self._inner(scope, receive, send)
            return
        try:
            promise = store.promise_of(path.removeprefix(DOOR), now=timezone.now())
            _check_head(scope, promise)
            await _take(store, promise, receive)
        except JobError as error:
            log.info("upload_refused", code=error.code)
            await _refuse(error, send)
        except _ClientGone:
            log.info("upload_broken_off")
        else:
            log.info("upload_taken", bytes=promise.bytes)
            await _answer(HTTPStatus.OK, b"", [], send)


def _check_head(scope: Scope, promise: Promise) -> None:
    """Refuse before a byte is read what its own headers say is not what was promised."""
    sent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), None)
    announced = content_length(scope)
    check(promise, content_type=sent, size=promise.bytes if announced is None else announced)


async def _take(store: FileUploadStore, promise: Promise, receive: Receive) -> None:
    receiving = store.receiving(promise)
    file = await asyncio.to_thread(receiving.__enter__)
    try:
        await _copy(file, promise, receive)
    except BaseException as error:
        await asyncio.to_thread(receiving.__exit__, type(error), error, error.__traceback__)
        raise
    await asyncio.to_thread(receiving.__exit__, None, None, None)


async def _copy(file: IO[bytes], promise: Promise, receive: Receive) -> None:
    piece, written, more = bytearray(), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        piece += message.get("body", b"")
        more = message.get("more_body", False)
        if written + len(piece) > promise.bytes:
            raise UploadMismatch(f"The photo was announced with {promise.bytes:,} bytes, and more were sent.")
        if len(piece) >= _PIECE_BYTES or not more:
            await asyncio.to_thread(file.write, piece)
            written += len(piece)
            piece = bytearray()


async def _refuse(error: JobError, send: Send) -> None:
    status = status_of(error) or HTTPStatus.INTERNAL_SERVER_ERROR
    body = json.dumps(problem(status, error.code, str(error))).encode()
    # The rest of the body is never read, so the connection is of no more use.
    await _answer(status, body, [(b"content-type", CONTENT_TYPE.encode()), (b"connection", b"close")], send)


async def _answer(status: int, body: bytes, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": int(status), "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
