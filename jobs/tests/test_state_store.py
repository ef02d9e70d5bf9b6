from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.db import connection, connections

from jobs.errors import StateMissing, Superseded, Unavailable
from jobs.models import OwnerFeed
from jobs.state_store.memory import MemoryStateStore
from jobs.state_store.sql import SqlStateStore
from jobs.states import JobState, Stage, StoredImage, queued
from jobs.tests.conftest import NOW
from tests.databases import default_database, in_threads, sqlite_file

if TYPE_CHECKING:
    from collections.abc import Iterator
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


@pytest.fixture(params=["memory", "sql"])
def store(request: pytest.FixtureRequest) -> JobStateStore:
    if request.param == "memory":
        return MemoryStateStore()
    request.getfixturevalue("db")
    return SqlStateStore()


class TestEveryStore:
    """The contract; a new store joins the fixture above."""

    def test_creates_a_state_once(self, store: JobStateStore) -> None:
        first = new()

        assert store.create(first)
        assert not store.create(replace(first, owner="mallory"))
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

    def test_keeps_every_field(self, store: JobStateStore) -> None:
        state = new()
        store.create(state)
        full = claimed(state).report(
            now=NOW, lease=LEASE, stage=Stage.INFERRING, fraction=0.4, preview=b"\x00\xff jpeg"
        )
        _, version = store.read(state.job_id)

        store.write(full, expected=version)

        assert store.read(state.job_id)[0] == full

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
    return OwnerFeed.objects.get(owner=owner).version


class TestARace:
    @pytest.mark.parametrize("kind", ["memory", "sql"])
    def test_has_exactly_one_winner(self, kind: str, request: pytest.FixtureRequest) -> None:
        store: JobStateStore = MemoryStateStore()
        if kind == "sql":
            request.getfixturevalue("file_database")
            store = SqlStateStore()
        outcomes: list[str] = []
        states = [new() for _ in range(10)]
        for state in states:
            store.create(state)
        start = threading.Barrier(4)

        def race() -> None:
            for state in states:
                read, version = store.read(state.job_id)
                if not read.status.terminal and read.attempt == 0:
                    start.wait(10)
                    try:
                        store.write(claimed(read), expected=version)
                        outcomes.append("won")
                    except Superseded:
                        outcomes.append("lost")
                    start.wait(10)

        in_threads(4, [race] * 4)

        assert outcomes.count("won") == len(states)
        assert len(outcomes) == 4 * len(states)


class TestTheSqlStore:
    def test_says_that_a_locked_database_is_worth_a_retry(self, file_database: None) -> None:
        state = new()
        store = SqlStateStore()
        store.create(state)
        connection.ensure_connection()
        connection.connection.execute("PRAGMA busy_timeout = 50")
        holder = connections.create_connection("default")
        holder.ensure_connection()
        holder.connection.execute("BEGIN EXCLUSIVE")

        with pytest.raises(Unavailable):
            store.write(claimed(state), expected=1)

        holder.connection.execute("ROLLBACK")
        holder.close()
        store.write(claimed(state), expected=1)

    def test_waits_for_the_disk_again_after_its_own_writes(self, file_database: None) -> None:
        SqlStateStore().create(new())

        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous")
            assert cursor.fetchone() == (2,)


@pytest.fixture
def file_database(tmp_path: Path, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock(), default_database(sqlite_file(str(tmp_path / "states.sqlite3"))):
        yield
