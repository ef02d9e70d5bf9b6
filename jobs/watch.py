"""
One hub per process: which sockets want which job.

The hub keeps one subscription per socket and asks its source for changes of everything that is watched. A source is a
poll of the database on one machine, and one Listen stream in the cloud; both speak in keys and whole snapshots.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, Self

import structlog
from asgiref.sync import sync_to_async
from django.db import Error, connection

from jobs.models import LiveState, OwnerFeed
from jobs.states import JobState, from_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from uuid import UUID

log = structlog.get_logger(__name__)
_MAX_IDS = 500


@dataclass(frozen=True)
class FeedRaised:
    """An owner has a new job."""

    owner: str


Change = JobState | FeedRaised
Key = tuple[str, str]


def job_key(job_id: UUID) -> Key:
    return ("jobs", str(job_id))


def owner_key(owner: str) -> Key:
    return ("owners", owner)


class ChangeSource(Protocol):
    """Where changes come from. One may come twice and those in between may be missing; the newest always comes."""

    def watch(self, key: Key) -> None:
        """Begin to report this key: its present state first, then each change."""

    def unwatch(self, key: Key) -> None:
        """Stop reporting this key."""

    def changes(self) -> AsyncIterator[Change]:
        """Yield changes until cancelled; may raise, and is then begun again."""


class Subscription:
    """What one socket wants. A slow reader gets the newest snapshot of each job and none of those in between."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: dict[Key, Change] = {}
        self._news = asyncio.Event()
        self.keys: set[Key] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for key in list(self.keys):
            self.unwatch(key)

    def watch(self, key: Key) -> None:
        if key not in self.keys:
            self.keys.add(key)
            self._hub.add(key, self)

    def unwatch(self, key: Key) -> None:
        self.keys.discard(key)
        self._waiting.pop(key, None)
        self._hub.remove(key, self)

    def offer(self, key: Key, change: Change) -> None:
        self._waiting[key] = change
        self._news.set()

    async def changes(self) -> AsyncIterator[Change]:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                yield self._waiting.pop(next(iter(self._waiting)))


class Hub:
    """The subscriptions of one event loop. Its reading task lives while anything is watched."""

    def __init__(self, source: ChangeSource, *, pause: timedelta = timedelta(seconds=1)) -> None:
        self._source, self._pause = source, pause.total_seconds()
        self._readers: defaultdict[Key, set[Subscription]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    def subscribe(self) -> Subscription:
        return Subscription(self)

    def add(self, key: Key, reader: Subscription) -> None:
        if key not in self._readers:
            self._source.watch(key)
        self._readers[key].add(reader)
        if self._task is None:
            self._task = asyncio.create_task(self._read(), name="job-watch")

    def remove(self, key: Key, reader: Subscription) -> None:
        self._readers[key].discard(reader)
        if not self._readers[key]:
            del self._readers[key]
            self._source.unwatch(key)
        if not self._readers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _read(self) -> None:
        while True:
            try:
                async for change in self._source.changes():
                    key = job_key(change.job_id) if isinstance(change, JobState) else owner_key(change.owner)
                    for reader in self._readers.get(key, ()):
                        reader.offer(key, change)
            except Exception as error:
                # Whatever it was: without this task every socket of the process would stay open and silent.
                log.exception("watch_broke", error=type(error).__name__)
            await asyncio.sleep(self._pause)


class SqlChangeSource:
    """Compares the versions of the watched rows, a few times a second."""

    def __init__(self, *, every: timedelta) -> None:
        self._every = every.total_seconds()
        # Versions are compared for each row: a version for the whole table can skip a slow transaction.
        self._seen: dict[Key, int] = {}

    def watch(self, key: Key) -> None:
        self._seen.setdefault(key, 0)

    def unwatch(self, key: Key) -> None:
        self._seen.pop(key, None)

    async def changes(self) -> AsyncIterator[Change]:
        while True:
            for key, version, change in await self._changed(dict(self._seen)):
                # It may have been dropped while the database answered.
                if key in self._seen:
                    self._seen[key] = version
                    yield change
            await asyncio.sleep(self._every)

    @sync_to_async
    def _changed(self, seen: dict[Key, int]) -> list[tuple[Key, int, Change]]:
        # The connection stays open: opening one takes longer than the look, twenty times a second.
        try:
            return [*_changed_jobs(seen), *_raised_feeds(seen)]
        except Error:
            # A lost one would be lost for ever; the hub looks again in a while.
            connection.close()
            raise


def _changed_jobs(seen: dict[Key, int]) -> list[tuple[Key, int, Change]]:
    ids = [name for kind, name in seen if kind == "jobs"]
    changed: list[str] = []
    for start in range(0, len(ids), _MAX_IDS):
        rows = LiveState.objects.filter(job_id__in=ids[start : start + _MAX_IDS]).values_list("job_id", "version")
        changed += [str(job_id) for job_id, version in rows if version > seen["jobs", str(job_id)]]
    return [
        (("jobs", str(row.job_id)), row.version, from_json(row.document))
        for start in range(0, len(changed), _MAX_IDS)
        for row in LiveState.objects.filter(job_id__in=changed[start : start + _MAX_IDS])
    ]


def _raised_feeds(seen: dict[Key, int]) -> list[tuple[Key, int, Change]]:
    owners = [name for kind, name in seen if kind == "owners"]
    if not owners:
        return []
    return [
        (("owners", row.owner), row.version, FeedRaised(row.owner))
        for row in OwnerFeed.objects.filter(owner__in=owners)
        if row.version > seen["owners", row.owner]
    ]
