"""
Sees every state of the jobs it is shown, as Firestore tells a listener of its own: what is held against the promises.

One stream with a target for each job's document, beside the site and not through it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from google.cloud.firestore_v1.types import ListenRequest, Target

from jobs.state_store.firestore_documents import state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from jobs.state_store.firestore_channel import FirestoreDatabase
    from jobs.states import JobState

_FIRST_TARGET = 2


class Witness:
    """Listens from `__enter__` to `__exit__`, in a thread of its own."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        # In the order in which they came; a state that the stream repeats is noted once.
        self._seen: defaultdict[UUID, list[JobState]] = defaultdict(list)
        self._requests: asyncio.Queue[ListenRequest] = asyncio.Queue()
        self._targets = _FIRST_TARGET
        self._broken: BaseException | None = None
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
        target = Target(target_id=self._targets, documents=Target.DocumentsTarget(documents=[document]))
        self._targets += 1
        request = ListenRequest(database=str(self._database.name), add_target=target)
        self._loop.call_soon_threadsafe(self._requests.put_nowait, request)

    def states(self, job_id: str) -> list[JobState]:
        """Return what was seen of a job; raises what broke the stream, since nothing is proven then."""
        if self._broken is not None:
            raise self._broken
        return list(self._seen[UUID(job_id)])

    def newest(self) -> dict[str, JobState]:
        return {str(job_id): states[-1] for job_id, states in list(self._seen.items()) if states}

    def _run(self) -> None:
        self._listening = self._loop.create_task(self._listen())
        try:
            self._loop.run_until_complete(self._listening)
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 - told to whoever asks
            self._broken = error
        finally:
            # What gRPC still has to say to itself of the end.
            self._loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True))
            self._loop.close()

    async def _listen(self) -> None:
        client, requests = self._database.async_client(), self._asked()
        try:
            stream = await client.listen(
                requests=requests, metadata=self._database.name.metadata, retry=None, timeout=3600
            )
            async for answer in stream:
                self._note(answer)
        finally:
            await client.transport.close()
        raise ConnectionError("Firestore ended the witness's stream.")

    async def _asked(self) -> AsyncIterator[ListenRequest]:
        while True:
            yield await self._requests.get()

    def _note(self, answer: Any) -> None:
        if "document_change" in answer:
            state = state_of(answer.document_change.document)
            states = self._seen[state.job_id]
            if not states or states[-1] != state:
                states.append(state)
        elif "document_delete" in answer or "document_remove" in answer:
            raise LookupError("A state was deleted while it was watched.")
