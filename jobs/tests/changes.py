"""A source of changes that does as it is told, and states to tell it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jobs.states import JobState, StoredImage, queued
from jobs.tests.conftest import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from jobs.watch import Change, Key


class ScriptedSource:
    """A ChangeSource in memory: yields what `tell` was given, raises what of it is an error."""

    def __init__(self) -> None:
        self.keys: set[Key] = set()
        self.watched: list[Key] = []
        self.begun = 0
        self._told: asyncio.Queue[Change | Exception] = asyncio.Queue()

    def tell(self, *changes: Change | Exception) -> None:
        for change in changes:
            self._told.put_nowait(change)

    def watch(self, key: Key) -> None:
        assert key not in self.keys
        self.keys.add(key)
        self.watched.append(key)

    def unwatch(self, key: Key) -> None:
        self.keys.remove(key)

    async def changes(self) -> AsyncIterator[Change]:
        self.begun += 1
        while True:
            change = await self._told.get()
            if isinstance(change, Exception):
                raise change
            yield change


def state_of(job_id: UUID | None = None, *, version: int = 1, **changes: Any) -> JobState:
    image = StoredImage(path="inputs/x/a.png", width=64, height=48, bytes=9, format="png")
    first = queued(
        job_id=job_id or uuid4(),
        owner="owner",
        operation="upscale",
        params={},
        image=image,
        now=NOW,
        expires_at=NOW + timedelta(days=7),
    )
    return replace(first, version=version, **changes)
