"""The contract of every source of changes; a new one joins the fixture."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async

from jobs.state_store.sql import SqlStateStore
from jobs.states import JobState
from jobs.tests.changes import state_of
from jobs.watch import SqlChangeSource, job_key, owner_key
from jobs.watch_firestore import FirestoreChangeSource

if TYPE_CHECKING:
    from jobs.state_store import JobStateStore
    from jobs.watch import ChangeSource

SOON = timedelta(milliseconds=10)


@dataclass
class World:
    """A source, and the store that it tells of."""

    source: ChangeSource
    states: JobStateStore

    async def store(self, *states: JobState) -> None:
        """Write each state, whatever is stored."""
        await database_sync_to_async(self._store)(*states)

    async def raise_feed(self, owner: str) -> None:
        await database_sync_to_async(self.states.raise_feed)(owner)

    def _store(self, *states: JobState) -> None:
        for state in states:
            if not self.states.create(state):
                self.states.write(state, expected=self.states.read(state.job_id)[1])


FIRESTORE = pytest.param("firestore", marks=[pytest.mark.emulator, pytest.mark.xdist_group("emulators")])


@pytest.fixture(params=["sql", FIRESTORE])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "sql":
        return World(SqlChangeSource(every=SOON), SqlStateStore())
    database = request.getfixturevalue("firestore_database")
    return World(FirestoreChangeSource(database), request.getfixturevalue("firestore_store"))


async def take(source: ChangeSource, number: int) -> list[tuple[str, int]]:
    """Return who changed, and the version, of so many changes."""
    found: list[tuple[str, int]] = []
    async with asyncio.timeout(60), aclosing(source.changes()) as changes:
        async for change in changes:
            found.append((str(change.job_id), change.version) if isinstance(change, JobState) else (change.owner, 0))
            if len(found) == number:
                break
    return found


@pytest.mark.django_db(transaction=True)
class TestChanges:
    async def test_begin_with_the_present_state(self, world: World) -> None:
        state = state_of(version=7)
        await world.store(state)

        world.source.watch(job_key(state.job_id))

        assert await take(world.source, 1) == [(str(state.job_id), 7)]

    async def test_are_told_once_and_only_of_what_is_watched(self, world: World) -> None:
        one, two = state_of(), state_of()
        await world.store(one, two)
        world.source.watch(job_key(one.job_id))
        await take(world.source, 1)

        await world.store(state_of(two.job_id, version=2), state_of(one.job_id, version=2))

        assert await take(world.source, 1) == [(str(one.job_id), 2)]

    async def test_are_found_where_nothing_was_before(self, world: World) -> None:
        job_id = uuid4()
        world.source.watch(job_key(job_id))

        taking = asyncio.create_task(take(world.source, 1))
        await asyncio.sleep(0.03)
        await world.store(state_of(job_id))

        assert await taking == [(str(job_id), 1)]

    async def test_are_told_of_owners(self, world: World) -> None:
        world.source.watch(owner_key("me"))

        await world.raise_feed("you")
        await world.raise_feed("me")
        once = await take(world.source, 1)
        await world.raise_feed("me")

        assert once + await take(world.source, 1) == [("me", 0), ("me", 0)]

    async def test_are_found_among_more_jobs_than_one_question_can_name(self, world: World) -> None:
        ids = [uuid4() for _ in range(1_201)]
        for job_id in ids:
            world.source.watch(job_key(job_id))

        await world.store(*[state_of(job_id) for job_id in (ids[0], ids[600], ids[-1])])

        assert {name for name, _ in await take(world.source, 3)} == {str(ids[0]), str(ids[600]), str(ids[-1])}

    async def test_are_not_told_any_more_once_a_key_is_dropped(self, world: World) -> None:
        one, two = state_of(), state_of()
        await world.store(one, two)
        for state in (one, two):
            world.source.watch(job_key(state.job_id))

        world.source.unwatch(job_key(one.job_id))

        assert await take(world.source, 1) == [(str(two.job_id), 1)]

    async def test_are_told_from_the_start_when_a_key_is_watched_again(self, world: World) -> None:
        state = state_of()
        await world.store(state)
        world.source.watch(job_key(state.job_id))
        await take(world.source, 1)

        world.source.unwatch(job_key(state.job_id))
        world.source.watch(job_key(state.job_id))

        assert await take(world.source, 1) == [(str(state.job_id), 1)]
