from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from structlog.testing import capture_logs

from jobs.states import JobState
from jobs.tests.changes import ScriptedSource, state_of
from jobs.watch import FeedRaised, Hub, job_key, owner_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.watch import Change, Subscription

SOON = timedelta(milliseconds=10)


@pytest.fixture
async def source() -> ScriptedSource:
    return ScriptedSource()


@pytest.fixture
async def hub(source: ScriptedSource) -> Hub:
    return Hub(source, pause=SOON)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not what():  # noqa: ASYNC110 - nothing in the code under test would set an event
            await asyncio.sleep(0.001)


async def first(subscription: Subscription, number: int) -> list[Change]:
    found: list[Change] = []
    async with asyncio.timeout(5):
        async for change in subscription.changes():
            found.append(change)
            if len(found) == number:
                break
    return found


async def rest(source: ScriptedSource) -> None:
    """Let the hub take all that its source was told."""
    await until(source._told.empty)
    await asyncio.sleep(0)


class TestASubscription:
    async def test_gets_the_changes_of_what_it_watches_and_no_others(self, hub: Hub, source: ScriptedSource) -> None:
        mine, other = state_of(), state_of()

        async with hub.subscribe() as reader:
            reader.watch(job_key(mine.job_id))
            reader.watch(owner_key("me"))
            source.tell(other, mine, FeedRaised("you"), FeedRaised("me"))

            assert await first(reader, 2) == [mine, FeedRaised("me")]

    async def test_that_reads_slowly_gets_the_newest_of_each_job(self, hub: Hub, source: ScriptedSource) -> None:
        one, two = uuid4(), uuid4()

        async with hub.subscribe() as reader:
            reader.watch(job_key(one))
            reader.watch(job_key(two))
            source.tell(*[state_of(job_id, version=version) for version in range(1, 100) for job_id in (one, two)])
            await rest(source)
            changes = await first(reader, 2)
            source.tell(state_of(one, version=100))
            changes += await first(reader, 1)

        assert [(change.job_id, change.version) for change in changes if isinstance(change, JobState)] == [
            (one, 99),
            (two, 99),
            (one, 100),
        ]

    async def test_gets_nothing_more_of_what_it_watches_no_longer(self, hub: Hub, source: ScriptedSource) -> None:
        one, two = state_of(), state_of()

        async with hub.subscribe() as reader:
            reader.watch(job_key(one.job_id))
            reader.watch(job_key(two.job_id))
            source.tell(one, two)
            await rest(source)
            reader.unwatch(job_key(one.job_id))

            assert await first(reader, 1) == [two]
            assert source.keys == {job_key(two.job_id)}

    async def test_may_stop_watching_in_the_middle_of_its_changes(self, hub: Hub, source: ScriptedSource) -> None:
        states = [state_of() for _ in range(5)]
        seen = []

        async with hub.subscribe() as reader, asyncio.timeout(5):
            for state in states:
                reader.watch(job_key(state.job_id))
            source.tell(*states)
            async for change in reader.changes():
                assert isinstance(change, JobState)
                seen.append(change)
                reader.unwatch(job_key(change.job_id))
                if not reader.keys:
                    break

        assert seen == states

    async def test_watches_a_key_once_however_often_it_says_so(self, hub: Hub, source: ScriptedSource) -> None:
        state = state_of()

        async with hub.subscribe() as reader:
            reader.watch(job_key(state.job_id))
            reader.watch(job_key(state.job_id))

            assert source.watched == [job_key(state.job_id)]


class TestAHub:
    async def test_gives_a_change_to_everybody_who_watches_it(self, hub: Hub, source: ScriptedSource) -> None:
        state = state_of()

        async with AsyncExitStack() as stack:
            readers = [await stack.enter_async_context(hub.subscribe()) for _ in range(2)]
            for reader in readers:
                reader.watch(job_key(state.job_id))
            source.tell(state)

            assert [await first(reader, 1) for reader in readers] == [[state], [state]]
            assert source.watched == [job_key(state.job_id)]

    async def test_goes_on_for_one_reader_when_another_leaves(self, hub: Hub, source: ScriptedSource) -> None:
        state = state_of()

        async with hub.subscribe() as stays:
            stays.watch(job_key(state.job_id))
            async with hub.subscribe() as leaves:
                leaves.watch(job_key(state.job_id))
            source.tell(state)

            assert await first(stays, 1) == [state]

    async def test_reads_only_while_somebody_watches(self, hub: Hub, source: ScriptedSource) -> None:
        for begun in (1, 2):
            async with hub.subscribe() as reader:
                reader.watch(job_key(uuid4()))
                await until(lambda begun=begun: source.begun == begun)  # type: ignore[misc]

            assert source.keys == set()
            await until(lambda: not watching())

    @pytest.mark.parametrize("error", [OperationalError("locked"), ConnectionError("gone"), KeyError("a bug")])
    async def test_begins_a_source_again_that_broke_and_says_so(
        self, hub: Hub, source: ScriptedSource, error: Exception
    ) -> None:
        state = state_of()

        with capture_logs() as lines:
            async with hub.subscribe() as reader:
                reader.watch(job_key(state.job_id))
                source.tell(error, state)

                assert await first(reader, 1) == [state]

        assert source.begun == 2
        assert [(line["event"], line["error"]) for line in lines] == [("watch_broke", type(error).__name__)]


def watching() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "job-watch"]
