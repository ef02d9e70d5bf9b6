"""How the source over Firestore outlives its streams; the contract of every source is in test_change_sources.py."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.api_core.exceptions import DeadlineExceeded, ServiceUnavailable
from google.cloud.firestore_v1.types import Document, DocumentChange, ListenResponse, TargetChange
from structlog.testing import capture_logs

from imagen_site import config
from jobs import adapters, cloud, watch_firestore
from jobs.errors import Unavailable
from jobs.state_store.firestore import FirestoreStateStore
from jobs.state_store.firestore_documents import DatabaseName, document_of
from jobs.tests.changes import state_of
from jobs.watch import FeedRaised, Hub, job_key, owner_key
from jobs.watch_firestore import FirestoreChangeSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from google.cloud.firestore_v1.types import ListenRequest

    from jobs.state_store.firestore_channel import FirestoreDatabase
    from jobs.states import JobState
    from jobs.watch import Change
    from tests.emulator_fixtures import Emulator

Kind = TargetChange.TargetChangeType


class ScriptedStream:
    """One Listen stream: what was asked of it, and what it answers."""

    def __init__(self, requests: AsyncIterator[ListenRequest]) -> None:
        self.asked: list[ListenRequest] = []
        self._answers: asyncio.Queue[ListenResponse | BaseException | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(requests))

    async def _read(self, requests: AsyncIterator[ListenRequest]) -> None:
        async for request in requests:
            self.asked.append(request)

    def answer(self, *answers: ListenResponse | BaseException | None) -> None:
        for each in answers:
            self._answers.put_nowait(each)

    async def answers(self) -> AsyncIterator[ListenResponse]:
        while True:
            answer = await self._answers.get()
            if answer is None:
                return
            if isinstance(answer, BaseException):
                raise answer
            yield answer

    @property
    def added(self) -> dict[str, bytes]:
        """The documents that are targets, and the token that each goes on from."""
        added = [request.add_target for request in self.asked if request.add_target.target_id]
        return {target.documents.documents[0].rpartition("/")[2]: target.resume_token for target in added}

    def number_of(self, name: str) -> int:
        """Return the newest target's number."""
        return [
            request.add_target.target_id
            for request in self.asked
            if request.add_target.documents.documents[:1] and request.add_target.documents.documents[0].endswith(name)
        ][-1]


class ScriptedDatabase:
    """A database whose Listen streams do as they are told."""

    def __init__(self) -> None:
        self.name = DatabaseName("project")
        self.streams: list[ScriptedStream] = []
        self.closed = 0
        self.transport = self

    def async_client(self) -> ScriptedDatabase:
        return self

    async def listen(self, *, requests: AsyncIterator[ListenRequest], **_options: Any) -> AsyncIterator[ListenResponse]:
        stream = ScriptedStream(requests)
        self.streams.append(stream)
        return stream.answers()

    async def close(self) -> None:
        self.closed += 1


def changed(state: JobState, *numbers: int) -> ListenResponse:
    document = document_of(state, name=f"projects/p/databases/d/documents/jobs/{state.job_id}")
    return ListenResponse(document_change=DocumentChange(document=document, target_ids=numbers))


def told(kind: Kind, *numbers: int, token: bytes = b"") -> ListenResponse:
    return ListenResponse(target_change=TargetChange(target_change_type=kind, target_ids=numbers, resume_token=token))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_firestore, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(watch_firestore, "_LONGEST_PAUSE", 0.2)


@pytest.fixture
def database() -> ScriptedDatabase:
    return ScriptedDatabase()


@pytest.fixture
async def source(database: ScriptedDatabase) -> FirestoreChangeSource:
    return FirestoreChangeSource(database, max_targets=2)  # type: ignore[arg-type]


@asynccontextmanager
async def reading(source: FirestoreChangeSource) -> AsyncIterator[list[Change]]:
    """Read changes into a list meanwhile."""
    seen: list[Change] = []

    async def read() -> None:
        async for change in source.changes():
            seen.append(change)  # noqa: PERF401 - it is looked at meanwhile

    task = asyncio.create_task(read())
    yield seen
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(what: Callable[[], object], *, seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 - nothing in the code under test would set an event
            await asyncio.sleep(0.005)


class TestAStream:
    async def test_goes_on_from_what_each_target_had_seen(
        self, database: ScriptedDatabase, source: FirestoreChangeSource
    ) -> None:
        one, two = state_of(), state_of()
        for state in (one, two):
            source.watch(job_key(state.job_id))

        async with reading(source):
            await until(lambda: database.streams and len(database.streams[0].asked) == 2)
            first = database.streams[0]
            number = first.number_of(str(one.job_id))
            # A token for all: it is none for the one whose present state has not been told yet.
            first.answer(told(Kind.CURRENT, number, token=b"one"), told(Kind.NO_CHANGE, token=b"all"))
            first.answer(ServiceUnavailable("Socket closed"))
            await until(lambda: len(database.streams) == 2 and len(database.streams[1].asked) == 2)

        assert database.streams[1].added == {str(one.job_id): b"all", str(two.job_id): b""}

    async def test_begins_a_target_again_that_the_server_reset(
        self, database: ScriptedDatabase, source: FirestoreChangeSource
    ) -> None:
        job_id = uuid4()
        source.watch(job_key(job_id))

        async with reading(source):
            await until(lambda: database.streams and database.streams[0].asked)
            number = database.streams[0].number_of(str(job_id))
            database.streams[0].answer(
                told(Kind.CURRENT, number, token=b"old"), told(Kind.RESET, number, token=b"new"), DeadlineExceeded("")
            )
            await until(lambda: len(database.streams) == 2 and database.streams[1].asked)

        assert database.streams[1].added == {str(job_id): b""}

    @pytest.mark.parametrize(
        "end",
        [ServiceUnavailable("Socket closed"), asyncio.CancelledError(), told(Kind.REMOVE), None],
        ids=["broken", "cancelled by the server", "without its target", "ended"],
    )
    async def test_is_made_again_however_it_ended(
        self, database: ScriptedDatabase, source: FirestoreChangeSource, end: ListenResponse | BaseException | None
    ) -> None:
        state = state_of()
        source.watch(job_key(state.job_id))

        async with reading(source) as seen:
            for number in range(1, 4):
                await until(lambda number=number: len(database.streams) == number and database.streams[-1].asked)  # type: ignore[misc]
                database.streams[-1].answer(end)
            await until(lambda: len(database.streams) == 4 and database.streams[-1].asked)
            database.streams[-1].answer(changed(state, database.streams[-1].number_of(str(state.job_id))))
            await until(lambda: seen)

        assert seen == [state]

    async def test_tells_nothing_of_a_target_that_was_dropped(
        self, database: ScriptedDatabase, source: FirestoreChangeSource
    ) -> None:
        one, two = state_of(), state_of()
        for state in (one, two):
            source.watch(job_key(state.job_id))

        async with reading(source) as seen:
            await until(lambda: database.streams and len(database.streams[0].asked) == 2)
            stream = database.streams[0]
            source.unwatch(job_key(one.job_id))
            await until(lambda: len(stream.asked) == 3)
            for state in (one, two):
                stream.answer(changed(state, stream.number_of(str(state.job_id))))
            await until(lambda: seen)

        assert stream.asked[-1].remove_target == stream.number_of(str(one.job_id))
        assert seen == [two]

    async def test_is_not_silenced_by_a_document_of_another_shape(
        self, database: ScriptedDatabase, source: FirestoreChangeSource
    ) -> None:
        state = state_of()
        source.watch(job_key(state.job_id))

        async with reading(source) as seen:
            await until(lambda: database.streams and database.streams[0].asked)
            number = database.streams[0].number_of(str(state.job_id))
            foreign = DocumentChange(document=Document(name="jobs/x"), target_ids=[number])
            with capture_logs() as lines:
                database.streams[0].answer(ListenResponse(document_change=foreign), changed(state, number))
                await until(lambda: seen)

        assert seen == [state]
        assert [line["event"] for line in lines] == ["foreign_document"]


class TestASource:
    async def test_shares_its_targets_out_between_streams_and_drops_an_empty_one(
        self, database: ScriptedDatabase, source: FirestoreChangeSource
    ) -> None:
        ids = [uuid4() for _ in range(5)]

        async with reading(source):
            for job_id in ids:
                source.watch(job_key(job_id))
            await until(lambda: sum(len(stream.asked) for stream in database.streams) == 5)
            assert [len(stream.added) for stream in database.streams] == [2, 2, 1]

            source.unwatch(job_key(ids[-1]))
            source.unwatch(job_key(ids[0]))
            source.watch(job_key(ids[-1]))
            await until(lambda: str(ids[-1]) in database.streams[0].added)

        assert len(database.streams) == 3
        assert database.closed == 1

    async def test_ends_with_a_bug_in_a_stream_so_that_its_hub_begins_it_again(
        self, database: ScriptedDatabase, source: FirestoreChangeSource
    ) -> None:
        state = state_of()
        hub = Hub(source, pause=timedelta(milliseconds=10))

        with capture_logs() as lines:
            async with hub.subscribe() as reader, asyncio.timeout(40):
                reader.watch(job_key(state.job_id))
                await until(lambda: database.streams and database.streams[0].asked)
                database.streams[0].answer(ZeroDivisionError("a bug"))
                await until(lambda: len(database.streams) == 2 and database.streams[1].asked)
                database.streams[1].answer(changed(state, database.streams[1].number_of(str(state.job_id))))
                assert await anext(reader.changes()) == state

        assert [line["event"] for line in lines] == ["watch_broke"]


@pytest.mark.emulator
@pytest.mark.xdist_group("emulators")
class TestChangesInFirestore:
    async def test_come_again_after_firestore_was_killed(
        self, firestore_emulator: Emulator, firestore_database: FirestoreDatabase, firestore_store: FirestoreStateStore
    ) -> None:
        source = FirestoreChangeSource(firestore_database, max_targets=1)
        before, after = state_of(), state_of()
        await asyncio.to_thread(firestore_store.create, before)
        for state in (before, after):
            source.watch(job_key(state.job_id))
        source.watch(owner_key("me"))

        async with reading(source) as seen:
            await until(lambda: before in seen)
            firestore_emulator.kill()
            firestore_emulator.start()
            await until(lambda: _stored(firestore_store, after))
            await asyncio.to_thread(firestore_store.raise_feed, "me")
            await until(lambda: after in seen and FeedRaised("me") in seen)

        assert seen.count(before) == 1

    async def test_take_no_thread_for_each_job(
        self, firestore_database: FirestoreDatabase, firestore_store: FirestoreStateStore
    ) -> None:
        source = FirestoreChangeSource(firestore_database, max_targets=50)
        states = [state_of() for _ in range(200)]
        source.watch(job_key(states[0].job_id))
        for state in (states[0], states[-1]):
            await asyncio.to_thread(firestore_store.create, state)

        async with reading(source) as seen:
            await until(lambda: seen)
            threads = threading.active_count()
            for state in states[1:]:
                source.watch(job_key(state.job_id))
            await until(lambda: len(seen) == 2)
            added = threading.active_count() - threads

        assert seen == [states[0], states[-1]]
        assert added == 0

    async def test_reach_an_open_page_in_the_profiles_of_the_cloud(
        self, firestore_emulator: Emulator, project: str, settings: Any
    ) -> None:
        told = {"GOOGLE_CLOUD_PROJECT": project, "FIRESTORE_EMULATOR_HOST": firestore_emulator.host}
        unused = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"}
        settings.IMAGEN = config.load({"IMAGEN_PROFILE": "emulators", **told, **unused})
        state = state_of()
        store = cloud.state_store(settings.IMAGEN.cloud)
        assert isinstance(store, FirestoreStateStore)

        async with adapters.hub().subscribe() as page, asyncio.timeout(40):
            page.watch(job_key(state.job_id))
            await until(lambda: _stored(store, state))

            assert await anext(page.changes()) == state
        store.close()


def _stored(store: FirestoreStateStore, state: JobState) -> bool:
    try:
        return store.create(state)
    except Unavailable:
        return False
