"""
Changes of watched jobs and owners from Firestore: Listen streams on the event loop, a document target for each key.

A stream that breaks is made again with what each target had seen. Many targets share a stream, so that a thousand
watched jobs are four calls and no threads; docs/decisions/0020-watching-by-document-targets.md has the figures.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import structlog
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore_v1.types import ListenRequest, ListenResponse, Target, TargetChange

from jobs.state_store.firestore_documents import state_of
from jobs.watch import FeedRaised

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient

    from jobs.state_store.firestore_channel import FirestoreDatabase
    from jobs.state_store.firestore_documents import DatabaseName
    from jobs.watch import Change, Key

    Tell = Callable[[Change], None]

log = structlog.get_logger(__name__)
_Type = TargetChange.TargetChangeType

# A stream that breaks gets all its targets again, one after the other, which takes more than twice as long for twice as
# many. Firestore names no limit of its own.
MAX_TARGETS = 250
# Past this, a stream is made anew, whatever it says: one that has gone deaf is not deaf for ever.
_STREAM_SECONDS = 3600
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
# A stream that held for so long was no part of the outage before it.
_STEADY_SECONDS = 10


class FirestoreChangeSource:
    """A ChangeSource for one event loop."""

    def __init__(self, database: FirestoreDatabase, *, max_targets: int = MAX_TARGETS) -> None:
        self._database, self._max_targets = database, max_targets
        self._streams: list[_Stream] = []
        self._places: dict[Key, _Stream] = {}
        self._run: _Run | None = None

    def watch(self, key: Key) -> None:
        if key not in self._places:
            stream = self._with_room()
            stream.add(key)
            self._places[key] = stream

    def unwatch(self, key: Key) -> None:
        stream = self._places.pop(key, None)
        if stream is None:
            return
        stream.remove(key)
        if not stream.size and len(self._streams) > 1:
            self._streams.remove(stream)
            if self._run:
                self._run.end(stream)

    async def changes(self) -> AsyncIterator[Change]:
        if self._run:
            # The last reader was stopped in the middle, and its end has not been seen to yet.
            await self._run.close()
        run = self._run = _Run(self._database.async_client())
        try:
            for stream in self._streams:
                stream.forget()
                run.begin(stream)
            while True:
                yield await run.next()
        finally:
            if self._run is run:
                self._run = None
            await run.close()

    def _with_room(self) -> _Stream:
        for stream in self._streams:
            if stream.size < self._max_targets:
                return stream
        stream = _Stream(self._database.name)
        self._streams.append(stream)
        if self._run:
            self._run.begin(stream)
        return stream


class _Run:
    """What `changes` needs while it is read: a client, a task for each stream, and what they have told."""

    def __init__(self, client: FirestoreAsyncClient) -> None:
        self._client = client
        self._tasks: dict[_Stream, asyncio.Task[None]] = {}
        self._told: asyncio.Queue[Change | BaseException] = asyncio.Queue()

    def begin(self, stream: _Stream) -> None:
        task = asyncio.create_task(stream.run(self._client, self._told.put_nowait), name="firestore-listen")
        task.add_done_callback(self._ended)
        self._tasks[stream] = task

    def end(self, stream: _Stream) -> None:
        self._tasks.pop(stream).cancel()

    async def next(self) -> Change:
        told = await self._told.get()
        if isinstance(told, BaseException):
            raise told
        return told

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.transport.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        # A stream ends by itself only over a bug; without this, its sockets would stay open and silent.
        if not task.cancelled() and (error := task.exception()):
            self._told.put_nowait(error)


@dataclass
class _Target:
    key: Key
    # What the server needs to go on from there.
    token: bytes = b""
    # All that was there when it was added has been told; before that a token would skip it.
    current: bool = False


class _TargetDropped(Exception):
    """The server has taken a target off the stream, which it does when it cannot look after it now."""


# What passes. A lack of rights too: it ends when somebody grants them.
_OUTAGES = (GoogleAPICallError, GoogleAuthError, _TargetDropped)


class _Stream:
    def __init__(self, database: DatabaseName) -> None:
        self._database = database
        self._targets: dict[int, _Target] = {}
        self._numbers: dict[Key, int] = {}
        self._next_number = count(1)
        self._requests: asyncio.Queue[ListenRequest | None] | None = None

    @property
    def size(self) -> int:
        return len(self._targets)

    def add(self, key: Key) -> None:
        number = self._numbers[key] = next(self._next_number)
        self._targets[number] = _Target(key)
        if self._requests:
            self._requests.put_nowait(self._adding(number))

    def remove(self, key: Key) -> None:
        number = self._numbers.pop(key)
        del self._targets[number]
        if self._requests:
            self._requests.put_nowait(ListenRequest(database=str(self._database), remove_target=number))

    def forget(self) -> None:
        """Begin with the present state of everything again: what was told may not have been heard."""
        for target in self._targets.values():
            target.token = b""

    async def run(self, client: FirestoreAsyncClient, tell: Tell) -> None:
        """Listen until cancelled, through every outage."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            reason = await self._listen_once(client, tell)
            if time.monotonic() - began > _STEADY_SECONDS:
                pause = _FIRST_PAUSE
            log.info("watch_interrupted", reason=reason, targets=self.size)
            # At no fixed time: the processes that lost one server come back one by one.
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - nothing is secret about it
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _listen_once(self, client: FirestoreAsyncClient, tell: Tell) -> str:
        """Listen until the stream is over; return why it was."""
        try:
            await self._listen(client, tell)
        except _OUTAGES as error:
            return type(error).__name__
        except asyncio.CancelledError:
            # gRPC says this too when the server has cancelled the call; then nobody has cancelled us.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return "Cancelled"
        return "Ended"

    async def _listen(self, client: FirestoreAsyncClient, tell: Tell) -> None:
        requests = self._requests = asyncio.Queue()
        for number, target in self._targets.items():
            target.current = False
            requests.put_nowait(self._adding(number))
        try:
            # Without the library's retry, with which a broken stream stays connected and silent.
            answers = await client.listen(
                requests=_taken_from(requests), retry=None, timeout=_STREAM_SECONDS, metadata=self._database.metadata
            )
            async for answer in answers:
                self._take(answer, tell)
        finally:
            self._requests = None
            requests.put_nowait(None)

    def _adding(self, number: int) -> ListenRequest:
        target = self._targets[number]
        name = f"{self._database}/documents/{'/'.join(target.key)}"
        documents = Target.DocumentsTarget(documents=[name])
        # Only where there is one: an empty token is a token as well, of nothing.
        resume = {"resume_token": target.token} if target.token else {}
        added = Target(target_id=number, documents=documents, **resume)
        return ListenRequest(database=str(self._database), add_target=added)

    def _take(self, answer: ListenResponse, tell: Tell) -> None:
        match ListenResponse.pb(answer).WhichOneof("response_type"):
            case "document_change":
                changed = answer.document_change
                for number in changed.target_ids:
                    # It may have been dropped while the change was on its way.
                    if number in self._targets:
                        _tell_of(self._targets[number].key, changed.document, tell)
            case "target_change":
                self._take_target_change(ListenResponse.pb(answer).target_change)
            case _:
                # Deletions are no change of a job, and counts of a set are of none that we hold.
                return

    def _take_target_change(self, change: Any) -> None:  # noqa: ANN401 - the protocol's own message
        # Named none, all are meant.
        targets = [self._targets[number] for number in change.target_ids or self._targets if number in self._targets]
        kind = change.target_change_type
        for target in targets:
            if kind in {_Type.RESET, _Type.REMOVE}:
                target.token, target.current = b"", False
            elif kind == _Type.CURRENT:
                target.current = True
            if target.current and change.resume_token:
                target.token = change.resume_token
        if kind == _Type.REMOVE and targets:
            raise _TargetDropped(change.cause.message)


async def _taken_from(requests: asyncio.Queue[ListenRequest | None]) -> AsyncIterator[ListenRequest]:
    while request := await requests.get():
        yield request


def _tell_of(key: Key, document: Any, tell: Tell) -> None:  # noqa: ANN401 - the protocol's own message
    kind, name = key
    if kind == "owners":
        tell(FeedRaised(name))
        return
    try:
        state = state_of(document)
    except (KeyError, TypeError, ValueError) as error:
        # One that another release wrote must not silence all the others.
        log.exception("foreign_document", key=name, error=type(error).__name__)
        return
    tell(state)
