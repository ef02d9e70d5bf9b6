"""
No request body beyond the largest file that we take, whatever its headers say.

Django's ASGI handler writes a whole body to disk before any view can refuse it, so the limit stands before Django.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from imagen_site.api_errors import CONTENT_TYPE, problem
from jobs.errors import FileTooLarge
from jobs.operations import Limits

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

# What a form has beside its file: field names, boundaries, a prompt.
_FORM_BYTES = 1024 * 1024
MAX_BODY_BYTES = Limits().max_bytes + _FORM_BYTES


class BodyLimit:
    """Answers 413 to a body of more than `limit` bytes: by its Content-Length, else once that much has come."""

    def __init__(self, inner: Asgi, *, limit: int = MAX_BODY_BYTES) -> None:
        self._inner, self._limit = inner, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        announced = content_length(scope)
        if announced is not None and announced > self._limit:
            await self._refuse(announced, send)
            return
        received, answered = 0, False

        async def counted() -> dict[str, Any]:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # As if the client had gone away: the application closes what it has kept so far and answers nothing.
            return message if received <= self._limit else {"type": "http.disconnect"}

        async def noted(message: dict[str, Any]) -> None:
            nonlocal answered
            answered = True
            await send(message)

        await self._inner(scope, counted, noted)
        if received > self._limit and not answered:
            await self._refuse(received, send)

    async def _refuse(self, size: int, send: Send) -> None:
        detail = (
            f"The request has {size / 2**20:,.1f} MB; "
            f"at most {Limits().max_bytes / 2**20:,.0f} MB are allowed for a file."
        )
        body = json.dumps(problem(413, FileTooLarge.code, detail)).encode()
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            # The rest of the body is never read, so the connection is of no more use.
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def content_length(scope: Scope) -> int | None:
    """Return how long a body says it will be, None where it does not."""
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    # No real length has twenty digits, and Python refuses to read one of more than 4,300.
    return int(value) if value.isdigit() and len(value) < 20 else None
