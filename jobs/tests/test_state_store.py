from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.db import connection, connections
from google.cloud.firestore_v1.types import Document

from jobs.errors import StateMissing, Superseded, Unavailable
from jobs.models import OwnerFeed
from jobs.state_store.firestore import FirestoreStateStore
from jobs.state_store.memory import MemoryStateStore
from jobs.state_store.sql import SqlStateStore
from jobs.states import JobState, Stage, StoredImage, queued
from jobs.tests.conftest import NOW
from tests.databases import default_database, in_threads, sqlite_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jobs.state_store import JobStateStore

LEASE = timedelta(seconds=60)


def new(owner: str = "alice") -> JobState:
    return queued(
        job_id=uuid4(),
        owner=owner,
        operation="upscale",
        params={"scale": 4, "prompt": "é"},
        image=StoredImage("inputs/x/a.png", 64, 48, 100, "png"),
        now=NOW,
        expires_at=NOW + timedelta(days=7),
    )


def claimed(state: JobState) -> JobState:
    return state.claim(now=NOW, lease=LEASE, max_attempts=5)


def working(state: JobState) -> JobState:
    return claimed(state).report(now=NOW, lease=LEASE, stage=Stage.INFERRING, fraction=0.4, preview=b"\x00\xff jpeg")


def completed(state: JobState) -> JobState:
    return working(state).complete(
        now=NOW + timedelta(microseconds=1),
        output=StoredImage("outputs/x/1/result.webp", 256, 192, 900, "webp"),
        engine={"name": "light", "version": "1", "weights_sha256": "0" * 64},
        provenance={
            "device": {"kind": "cuda", "name": "Tesla T4", "precision": "fp16"},
            "batch_size": 3,
            "seconds": {"decode": 0.05, "infer": 2.0},
            "parameters": {"seed": 2**32 - 1, "prompt": "é", "steps": None},
            "checks": {"shift": [0.1, 2], "empty": False, "alpha": {}},
            "warnings": [],
        },
        timings={"downloading": 0.25, "inferring": 1.5, "uploading": 1e-3},
    )


FULL: dict[str, Callable[[JobState], JobState]] = {
    "processing": working,
    "completed": completed,
    "failed": lambda state: working(state).fail(now=NOW, code="image_too_large", message="Zu groß: 51 MP."),
    "cancelled": lambda state: working(state).cancel(now=NOW),
}


FIRESTORE = pytest.param(
    FirestoreStateStore, marks=[pytest.mark.emulator, pytest.mark.xdist_group("emulators")], id="FirestoreStateStore"
)


def made_by(request: pytest.FixtureRequest) -> Iterator[JobStateStore]:
    if request.param is not FirestoreStateStore:
        yield request.param()
        return
    store: FirestoreStateStore = request.getfixturevalue("firestore_store")
    yield store


@pytest.fixture(params=[MemoryStateStore, SqlStateStore, FIRESTORE])
def store(request: pytest.FixtureRequest, db: None) -> Iterator[JobStateStore]:
    # `db` by name: one asked for while the test runs is not seen when the databases are set up, and the test would
    # then write to the developer's own.
    yield from made_by(request)


class TestEveryStore:
    """The contract; a new store joins the fixture above."""

    def test_creates_a_state_once(self, store: JobStateStore) -> None:
        first = new()

        assert store.create(first)
        assert not store.create(replace(first, owner="mallory"))
        assert not store.create(first)
        assert store.read(first.job_id)[0] == first

    def test_has_no_state_of_a_job_nobody_created(self, store: JobStateStore) -> None:
        with pytest.raises(StateMissing):
            store.read(uuid4())

    def test_reads_many_and_leaves_out_the_missing(self, store: JobStateStore) -> None:
        states = [new() for _ in range(3)]
        for state in states:
            store.create(state)

        read = store.read_many([*(state.job_id for state in states), uuid4()])

        assert read == {state.job_id: state for state in states}
        assert store.read_many([]) == {}

    @pytest.mark.parametrize("status", ["processing", "completed", "failed", "cancelled"])
    def test_keeps_every_field(self, store: JobStateStore, status: str) -> None:
        state = new()
        store.create(state)
        _, version = store.read(state.job_id)

        store.write(FULL[status](state), expected=version)

        assert store.read(state.job_id)[0] == FULL[status](state)
        assert store.read_many([state.job_id]) == {state.job_id: FULL[status](state)}

    def test_chains_the_version_of_its_own_last_write(self, store: JobStateStore) -> None:
        state = new()
        store.create(state)
        state, version = store.read(state.job_id)

        for move in (claimed, lambda s: s.release(now=NOW), claimed, lambda s: s.cancel(now=NOW)):
            state = move(state)
            version = store.write(state, expected=version)

        assert store.read(state.job_id) == (state, version)

    def test_refuses_an_old_version_and_hands_over_the_winner(self, store: JobStateStore) -> None:
        state = new()
        store.create(state)
        _, version = store.read(state.job_id)
        winner = state.cancel(now=NOW)
        store.write(winner, expected=version)

        with pytest.raises(Superseded) as lost:
            store.write(claimed(state), expected=version)

        assert lost.value.winner == winner
        assert store.read(state.job_id)[0] == winner

    def test_does_not_bring_a_deleted_job_back(self, store: JobStateStore) -> None:
        state = new()
        store.create(state)
        _, version = store.read(state.job_id)
        store.delete([state.job_id, uuid4()])

        with pytest.raises(Superseded) as lost:
            store.write(claimed(state), expected=version)

        assert lost.value.winner is None
        assert store.read_many([state.job_id]) == {}

    def test_raises_a_feed_for_one_owner(self, store: JobStateStore) -> None:
        for owner in ("alice", "alice", "bob"):
            store.raise_feed(owner)

        assert _feed(store, "alice") == 2
        assert _feed(store, "bob") == 1


def _feed(store: JobStateStore, owner: str) -> int:
    if isinstance(store, MemoryStateStore):
        return store.feeds[owner]
    if isinstance(store, FirestoreStateStore):
        found = store._client.get().get_document({"name": store._name.owner(owner)})
        return Document.pb(found).fields["version"].integer_value
    return OwnerFeed.objects.get(owner=owner).version


@pytest.fixture(params=[MemoryStateStore, SqlStateStore, FIRESTORE])
def shared(request: pytest.FixtureRequest) -> Iterator[JobStateStore]:
    """A store that four threads use at a time."""
    if request.param is SqlStateStore:
        request.getfixturevalue("file_database")
    yield from made_by(request)


class TestARace:
    def test_for_a_job_has_exactly_one_winner(self, shared: JobStateStore) -> None:
        states = [new() for _ in range(10)]
        for state in states:
            shared.create(state)
        start = threading.Barrier(4)

        def race() -> list[str]:
            return [claim(state) for state in states]

        def claim(state: JobState) -> str:
            read, version = shared.read(state.job_id)
            start.wait(10)
            try:
                shared.write(claimed(read), expected=version)
            except Superseded as lost:
                return f"lost to attempt {lost.winner.attempt}" if lost.winner else "lost to nobody"
            return "won"

        for outcomes in zip(*in_threads(4, [race] * 4), strict=True):
            assert sorted(outcomes) == ["lost to attempt 1"] * 3 + ["won"]

    def test_to_create_a_state_has_exactly_one_winner(self, shared: JobStateStore) -> None:
        states = [new() for _ in range(10)]
        start = threading.Barrier(4)

        def race() -> list[bool]:
            return [start.wait(10) >= 0 and shared.create(replace(state)) for state in states]

        for created in zip(*in_threads(4, [race] * 4), strict=True):
            assert sorted(created) == [False, False, False, True]

    def test_to_raise_a_feed_loses_no_raise(self, shared: JobStateStore) -> None:
        start = threading.Barrier(4)

        def race() -> None:
            for owner in ("alice", "bob") * 5:
                start.wait(10)
                shared.raise_feed(owner)

        in_threads(4, [race] * 4)

        assert (_feed(shared, "alice"), _feed(shared, "bob")) == (20, 20)


WRITES: list[Callable[[JobStateStore, JobState], object]] = [
    lambda store, _state: store.create(new()),
    lambda store, state: store.write(claimed(state), expected=1),
    lambda store, _state: store.raise_feed("alice"),
    lambda store, state: store.delete([state.job_id]),
]
READS: list[Callable[[JobStateStore, JobState], object]] = [
    lambda store, state: store.read(state.job_id),
    lambda store, state: store.read_many([state.job_id]),
]


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the write lock as another process would."""
    holder = connections.create_connection("default")
    holder.ensure_connection()
    holder.connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holder.connection.execute("ROLLBACK")
        holder.close()


class TestTheSqlStore:
    def test_says_that_a_locked_database_is_worth_a_retry(self, file_database: Path) -> None:
        state = new()
        store = SqlStateStore()
        store.create(state)
        connection.connection.execute("PRAGMA busy_timeout = 50")

        with _locked():
            for call in WRITES:
                with pytest.raises(Unavailable):
                    call(store, state)

        for call in WRITES:
            call(store, state)

    def test_says_that_a_database_that_is_away_is_worth_a_retry(self, file_database: Path, tmp_path: Path) -> None:
        state = new()
        store = SqlStateStore()
        store.create(state)
        connection.close()

        file_database.rename(tmp_path / "elsewhere")
        for call in (*WRITES, *READS):
            with pytest.raises(Unavailable) as refusal:
                call(store, state)
            assert refusal.value.retryable

        (tmp_path / "elsewhere").rename(file_database)
        assert store.read(state.job_id)[0] == state

    def test_waits_for_the_disk_again_after_its_own_writes(self, file_database: None) -> None:
        SqlStateStore().create(new())

        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous")
            assert cursor.fetchone() == (2,)


@pytest.fixture
def file_database(tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    """The folder of a database file that is this test's own."""
    folder = tmp_path / "database"
    folder.mkdir()
    with django_db_blocker.unblock(), default_database(sqlite_file(str(folder / "states.sqlite3"))):
        yield folder
