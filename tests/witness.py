"""
Sees every state of the jobs it is shown, as Firestore tells a listener of its own: what is held against the promises.

One stream with a target for each job's document, beside the site and not through it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from google.api_core.exceptions import GoogleAPICallError
from google.cloud.firestore_v1.types import Document, ListenRequest, Target

from jobs.state_store.firestore_documents import state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient

    from jobs.state_store.firestore_channel import FirestoreDatabase
    from jobs.states import JobState

_PAUSE_SECONDS = 0.1


class Witness:
    """Listens from `__enter__` to `__exit__`, in a thread of its own."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        # By the time of their commit. They may come in another order: the emulator answers a new target with the present
        # state after a change that was made meanwhile.
        self._seen: defaultdict[UUID, dict[int, JobState]] = defaultdict(dict)
        self._requests: asyncio.Queue[ListenRequest] = asyncio.Queue()
        self._targets: list[ListenRequest] = []
        self._numbers = count(1)
        # How often the stream broke and was begun again; what was written in between was not seen.
        self.breaks = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._listening.cancel)
        self._thread.join(10)

    def watch(self, job_id: str) -> None:
        """Report this job from its present state on."""
        document = self._database.name.job(job_id)
        target = Target(target_id=next(self._numbers), documents=Target.DocumentsTarget(documents=[document]))
        request = ListenRequest(database=str(self._database.name), add_target=target)
        self._loop.call_soon_threadsafe(self._add, request)

    def _add(self, request: ListenRequest) -> None:
        self._targets.append(request)
        self._requests.put_nowait(request)

    def states(self, job_id: str) -> list[JobState]:
        """Return what was seen of a job, in the order in which Firestore committed it."""
        seen = self._seen[UUID(job_id)]
        return [seen[time] for time in sorted(seen)]

    def newest(self) -> dict[str, JobState]:
        return {str(job_id): seen[max(seen)] for job_id, seen in list(self._seen.items())}

    def _run(self) -> None:
        self._listening = self._loop.create_task(self._listen())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._listening)
        # What gRPC still has to say to itself of the end.
        self._loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True))
        self._loop.close()

    async def _listen(self) -> None:
        client = self._database.async_client()
        try:
            while True:
                with suppress(GoogleAPICallError):
                    await self._listen_once(client)
                self.breaks += 1
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            await client.transport.close()

    async def _listen_once(self, client: FirestoreAsyncClient) -> None:
        requests = self._requests = asyncio.Queue()
        for target in self._targets:
            requests.put_nowait(target)
        stream = await client.listen(
            requests=self._asked(requests), metadata=self._database.name.metadata, retry=None, timeout=3600
        )
        async for answer in stream:
            # gRPC's word for a message that it could not read: what it told is told again by a new stream.
            if answer is None:
                return
            self._note(answer)

    async def _asked(self, requests: asyncio.Queue[ListenRequest]) -> AsyncIterator[ListenRequest]:
        while True:
            yield await requests.get()

    def _note(self, answer: Any) -> None:
        if "document_change" in answer:
            document = answer.document_change.document
            state = state_of(document)
            self._seen[state.job_id][Document.pb(document).update_time.ToNanoseconds()] = state
