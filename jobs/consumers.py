"""Websockets: accept -> subscribe -> read -> send -> changes. Every message is a whole snapshot with its version."""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from uuid import UUID

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.core.serializers.json import DjangoJSONEncoder

from jobs import adapters, metrics, queries
from jobs.errors import JobNotFound
from jobs.states import JobState
from jobs.watch import FeedRaised, job_key, owner_key

if TYPE_CHECKING:
    from accounts.models import Account
    from jobs.models import Job
    from jobs.watch import Change, Subscription

log = structlog.get_logger(__name__)

# Application codes (RFC 6455, 7.4.2), after the HTTP statuses that the API would answer.
UNAUTHENTICATED, NOT_FOUND = 4401, 4404
# "Internal error" of the RFC's own (7.4.1): open it again.
BROKEN = 1011
# A page shows the newest; whoever has more open jobs than this sees the rest by the API.
MAX_OPEN = 200


class _Snapshots(AsyncWebsocketConsumer):  # type: ignore[misc]
    """What both sockets share: who asks, a task that sends, versions that never go back."""

    account: Account | None
    _task: asyncio.Task[None] | None = None

    async def __call__(self, *asgi: Any) -> None:  # noqa: ANN401 - channels' scope, receive and send
        # Around all of it: a socket that breaks off never comes to `disconnect`.
        with metrics.WEBSOCKETS.track_inprogress():
            await super().__call__(*asgi)

    async def connect(self) -> None:
        self._sent: dict[str, int] = {}
        self.account = self.scope["account"]
        # Accepted first: a browser shows a script the code of a closed socket, but not the status of a refused one.
        await self.accept()
        if self.account is None:
            await self.close(code=UNAUTHENTICATED)
            return
        try:
            await self.prepare(self.account)
        except JobNotFound:
            await self.close(code=NOT_FOUND)
            return
        self._task = asyncio.create_task(self._run())

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - channels' signature
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing is asked through these sockets; whatever a client sends is ignored."""

    @abstractmethod
    async def prepare(self, account: Account) -> None:
        """Look up what is asked for; raises JobNotFound."""

    @abstractmethod
    async def follow(self, subscription: Subscription) -> None:
        """Subscribe, then read and send what there is."""

    @abstractmethod
    async def changed(self, change: Change, subscription: Subscription) -> None:
        """Send what a change means."""

    async def _run(self) -> None:
        try:
            async with adapters.hub().subscribe() as subscription:
                await self.follow(subscription)
                async for change in subscription.changes():
                    await self.changed(change, subscription)
        except OSError:
            # What a server raises when the client has gone; `disconnect` follows.
            log.info("socket_left")
        except Exception as error:
            # Nobody waits for this task: the socket would stay open and silent, where closed it is opened again.
            log.exception("socket_broke", error=type(error).__name__)
            await self.close(code=BROKEN)

    async def send_view(self, view: dict[str, Any]) -> None:
        if view["version"] > self._sent.get(view["job_id"], -1):
            self._sent[view["job_id"]] = view["version"]
            await self.send(text_data=json.dumps(view, cls=DjangoJSONEncoder))


class JobConsumer(_Snapshots):
    """/ws/jobs/{job_id}/: one job."""

    job: Job

    async def prepare(self, account: Account) -> None:
        job_id: UUID = self.scope["url_route"]["kwargs"]["job_id"]
        self.job = await database_sync_to_async(queries.find_job)(account=account, job_id=job_id)

    async def follow(self, subscription: Subscription) -> None:
        # Subscribed before the first read: a change in between is sent twice rather than lost.
        subscription.watch(job_key(self.job.id))
        for view in await _views([self.job.id], self.job.account_id):
            await self.send_view(view)

    async def changed(self, change: Change, subscription: Subscription) -> None:  # noqa: ARG002
        if isinstance(change, JobState):
            await self.send_view(_live_view(self.job, change))


class JobsConsumer(_Snapshots):
    """
    /ws/jobs/: all of an account's open jobs, new ones included.

    `?shown=` takes job ids, comma-separated: what a page shows as open, and may have ended before the socket came.
    """

    async def prepare(self, account: Account) -> None:
        self._owner = str(account.pk)
        self._shown = _shown_jobs(self.scope["query_string"])
        self._jobs: dict[UUID, Job] = {}
        self._newest: Job | None = None

    async def follow(self, subscription: Subscription) -> None:
        subscription.watch(owner_key(self._owner))
        await self._look(subscription)
        # Read after the open ones are watched: whatever is not among them has ended, and changes no more.
        for view in await _views([job_id for job_id in self._shown if job_id not in self._jobs], self._owner):
            await self.send_view(view)

    async def changed(self, change: Change, subscription: Subscription) -> None:
        if isinstance(change, FeedRaised):
            await self._look(subscription)
            return
        if (job := self._jobs.get(change.job_id)) is not None:
            await self.send_view(_live_view(job, change))
        if change.status.terminal:
            subscription.unwatch(job_key(change.job_id))
            self._jobs.pop(change.job_id, None)

    async def _look(self, subscription: Subscription) -> None:
        """Watch every open job that is new to this socket, then read them, and those that have ended already."""
        found, self._newest = await database_sync_to_async(_jobs_to_show)(self._owner, self._newest)
        new = {job.id: job for job in found if job.id not in self._jobs and str(job.id) not in self._sent}
        for job in new.values():
            if job.settled_at is None:
                self._jobs[job.id] = job
                subscription.watch(job_key(job.id))
        for view in await _views(list(new), self._owner):
            await self.send_view(view)


def _live_view(job: Job, state: JobState) -> dict[str, Any]:
    # On the event loop: it asks nobody, and takes less time than to have it done by a thread.
    return queries.job_view(job, state, sign=adapters.sign_link)


@database_sync_to_async  # type: ignore[untyped-decorator]
def _views(job_ids: list[UUID], owner: str | UUID) -> list[dict[str, Any]]:
    jobs = queries.jobs_of(owner).filter(id__in=job_ids)
    return queries.job_views(jobs, states=adapters.state_store(), sign=adapters.sign_link)


def _jobs_to_show(owner: str, newest: Job | None) -> tuple[list[Job], Job | None]:
    """Return the open jobs and any newer than `newest`, which may have ended at once; and the newest there is now."""
    jobs = queries.jobs_of(owner)
    latest = jobs.first()
    fresh = [] if newest is None else list(queries.newer_than(newest, owner)[:MAX_OPEN])
    return [*jobs.unsettled()[:MAX_OPEN], *fresh], latest


def _shown_jobs(query: bytes) -> list[UUID]:
    shown: list[UUID] = []
    for text in ",".join(parse_qs(query.decode("latin-1")).get("shown", [])).split(",")[:MAX_OPEN]:
        # An address that somebody mistyped is no reason to show them nothing.
        with suppress(ValueError):
            shown.append(UUID(text))
    return shown


class NowhereConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Every other address: without it the router raises, and a client sees a connection that broke."""

    async def connect(self) -> None:
        await self.accept()
        await self.close(code=NOT_FOUND)
