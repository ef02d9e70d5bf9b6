"""A client of the site's sockets, and the moves of a job that it watches."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, cast

from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator

from jobs.state_store.sql import SqlStateStore
from jobs.states import StoredImage
from jobs.tests.conftest import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.models import Job
    from jobs.states import JobState
    from jobs.watch import Hub

LEASE = timedelta(seconds=60)
OUTPUT = StoredImage(path="outputs/x/1/result.png", width=256, height=192, bytes=6, format="png")


class Socket(WebsocketCommunicator):
    """A client; leaves when its block ends, whoever closed the socket."""

    def __init__(self, path: str, *headers: tuple[str, str]) -> None:
        from imagen_site.asgi import application

        pairs = [(name.encode(), value.encode()) for name, value in (("host", "localhost"), *headers)]
        super().__init__(application, path, headers=pairs)

    async def __aenter__(self) -> Self:
        accepted, _ = await self.connect(timeout=5)
        assert accepted
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.disconnect(timeout=5)

    async def next(self) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(await self.receive_from(timeout=5))
        return seen

    async def until(self, what: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Return all that comes up to the first view that fits."""
        seen = [await self.next()]
        while not what(seen[-1]):
            seen.append(await self.next())
        return seen

    async def closed(self) -> int:
        """Return the code that the server closes the socket with, before it has said anything."""
        message = await self.receive_output(timeout=5)
        assert message["type"] == "websocket.close"
        return int(message["code"])


def by_key(path: str, key: str) -> Socket:
    return Socket(path, ("authorization", f"Bearer {key}"))


def one(job: Job | Any) -> str:
    return f"/ws/jobs/{getattr(job, 'id', job)}/"


@database_sync_to_async  # type: ignore[untyped-decorator]
def move(job: Job, *moves: Callable[[JobState], JobState]) -> None:
    states = SqlStateStore()
    for make in moves:
        state, version = states.read(job.id)
        states.write(make(state), expected=version)


def claim(state: JobState) -> JobState:
    return state.claim(now=NOW, lease=LEASE, max_attempts=5)


def report(fraction: float) -> Callable[[JobState], JobState]:
    return lambda state: state.report(now=NOW, lease=LEASE, stage=state.stage, fraction=fraction)


def complete(state: JobState) -> JobState:
    return state.complete(now=NOW, output=OUTPUT, engine={"name": "fake"}, timings={"inferring": 1.0})


def is_idle(hub: Hub) -> bool:
    return not hub._readers and hub._task is None and not cast("Any", hub._source)._seen
