"""Sockets over the site's real ASGI application, its SQL state store and its poll of the database."""

from __future__ import annotations

import asyncio
import importlib
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

import billing.services
from jobs import adapters, queries
from jobs.errors import Unavailable
from jobs.state_store.sql import SqlStateStore
from jobs.tests.asking import key_with
from jobs.tests.changes import ScriptedSource, state_of
from jobs.tests.conftest import NOW, World
from jobs.tests.sockets import Socket, by_key, claim, complete, is_idle, move, one, report
from jobs.watch import Hub, job_key, owner_key

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import Settings

    from accounts.models import Account, User
    from jobs.models import Job

pytestmark = pytest.mark.django_db(transaction=True)

ALL = "/ws/jobs/"


@pytest.fixture(autouse=True)
def _site_is_loaded() -> None:
    # Its first import sets Django up, which begins the logs anew and would end a test's listening to them.
    importlib.import_module("imagen_site.asgi")


@pytest.fixture(autouse=True)
def _looks_often(settings: Settings) -> None:
    settings.IMAGEN = replace(settings.IMAGEN, watch_every=timedelta(milliseconds=10))


@pytest.fixture
def site() -> World:
    """A world whose live states are where the site looks for them."""
    return World(states=cast("Any", SqlStateStore()))


@pytest.fixture
def job(site: World, rich: Account) -> Job:
    return site.submit(rich)


class TestASocketThatIsRefused:
    async def test_is_nobodys(self, job: Job) -> None:
        for path in (ALL, one(job)):
            async with Socket(path) as socket:
                assert await socket.closed() == 4401

    @pytest.mark.parametrize("key", ["img_live_nonsense", "", "é"])
    async def test_has_a_bad_key(self, job: Job, key: str) -> None:
        async with by_key(one(job), key) as socket:
            assert await socket.closed() == 4401

    async def test_has_a_key_that_may_not_read(self, job: Job, rich: Account) -> None:
        key = await database_sync_to_async(key_with)(rich, "jobs:write")

        for path in (ALL, one(job)):
            async with by_key(path, key) as socket:
                assert await socket.closed() == 4401

    async def test_is_of_a_page_of_another_site(self, job: Job, client: Client, alice: User) -> None:
        await database_sync_to_async(client.force_login)(alice)
        cookie = ("cookie", f"sessionid={client.cookies['sessionid'].value}")

        async with Socket(one(job), cookie, ("origin", "https://evil.example")) as socket:
            assert await socket.closed() == 4401

    async def test_asks_for_the_job_of_a_stranger(self, job: Job, charlie_key: str) -> None:
        async with by_key(one(job), charlie_key) as socket:
            assert await socket.closed() == 4404

    async def test_asks_for_a_job_that_is_not_there(self, alice_key: str) -> None:
        async with by_key(one(uuid4()), alice_key) as socket:
            assert await socket.closed() == 4404

    @pytest.mark.parametrize("path", ["/", "/ws/", "/ws/jobs", "/ws/jobs/1/", "/ws/other/", "/%00"])
    async def test_asks_for_an_address_that_is_not_there(self, alice_key: str, path: str) -> None:
        async with by_key(path, alice_key) as socket:
            assert await socket.closed() == 4404

    async def test_leaves_nothing_watched(self, job: Job, charlie_key: str) -> None:
        async with by_key(one(job), charlie_key) as socket:
            await socket.closed()

        assert is_idle(adapters.hub())


class TestTheSocketOfAJob:
    async def test_sends_a_snapshot_then_every_news_and_the_end_with_its_link(self, job: Job, alice_key: str) -> None:
        async with by_key(one(job), alice_key) as socket:
            first = await socket.next()
            await move(job, claim)
            begun = await socket.next()
            await move(job, report(0.5), complete)
            last = (await socket.until(lambda seen: seen["status"] == "completed"))[-1]

        assert (first["status"], first["version"]) == ("queued", 1)
        assert (begun["status"], begun["version"]) == ("processing", 2)
        assert (last["version"], last["progress"]) == (4, 100)
        assert last["output"]["url"].startswith("/files/")

    async def test_says_what_the_api_says(self, site: World, job: Job, alice_key: str, client: Client) -> None:
        async with by_key(one(job), alice_key) as socket:
            seen = await socket.next()

        answer = await database_sync_to_async(client.get)(f"/api/v1/jobs/{job.id}", headers={"X-API-Key": alice_key})
        said = answer.json()
        # Two links to one photo, signed at two moments.
        links = [told["input"].pop("url") for told in (seen, said)]
        assert seen == said
        assert all(link.startswith("/files/") for link in links)

    async def test_is_open_to_a_person_on_our_page(self, job: Job, client: Client, bob: User) -> None:
        await database_sync_to_async(client.force_login)(bob)
        cookie = ("cookie", f"sessionid={client.cookies['sessionid'].value}")

        async with Socket(one(job), cookie, ("origin", "http://localhost")) as socket:
            assert (await socket.next())["job_id"] == str(job.id)

    async def test_sends_versions_that_only_rise(self, job: Job, alice_key: str) -> None:
        await move(job, claim)

        async with by_key(one(job), alice_key) as socket:
            moving = asyncio.create_task(move(job, *[report(step / 50) for step in range(50)], complete))
            seen = await socket.until(lambda view: view["status"] == "completed")
            await moving

        versions = [view["version"] for view in seen]
        assert versions == sorted(set(versions))
        assert versions[-1] == 53

    async def test_loses_no_change_between_its_first_read_and_its_answer(
        self, job: Job, alice_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source, read, loop = ScriptedSource(), queries.job_views, asyncio.get_running_loop()
        hub = Hub(source)
        monkeypatch.setattr(adapters, "hub", lambda: hub)

        def overtaken(*jobs: Any, **options: Any) -> list[dict[str, Any]]:
            views = read(*jobs, **options)
            loop.call_soon_threadsafe(source.tell, state_of(job.id, version=2))
            time.sleep(0.05)
            return views

        monkeypatch.setattr(queries, "job_views", overtaken)

        # Somebody else watches the job already, so the hub has handed the change out by the time of the answer.
        async with hub.subscribe() as other, by_key(one(job), alice_key) as socket:
            other.watch(job_key(job.id))

            assert [(await socket.next())["version"] for _ in range(2)] == [1, 2]

    async def test_begins_before_the_job_has_a_state(self, site: World, job: Job, alice_key: str) -> None:
        state = await database_sync_to_async(site.state)(job)
        await database_sync_to_async(site.states.delete)([job.id])

        async with by_key(one(job), alice_key) as socket:
            before = await socket.next()
            await database_sync_to_async(site.states.create)(state)
            after = await socket.next()

        assert [(view["status"], view["version"]) for view in (before, after)] == [("queued", 0), ("queued", 1)]

    async def test_of_a_job_that_is_settled_says_so_at_once_and_once(
        self, site: World, job: Job, alice_key: str
    ) -> None:
        await database_sync_to_async(site.service.cancel)(job, now=NOW)

        async with by_key(one(job), alice_key) as socket:
            assert (await socket.next())["status"] == "cancelled"
            assert await socket.receive_nothing(timeout=0.1)

    async def test_sends_nothing_older_than_it_has_sent(
        self, site: World, job: Job, alice_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = ScriptedSource()
        hub = Hub(source)
        monkeypatch.setattr(adapters, "hub", lambda: hub)

        async with by_key(one(job), alice_key) as socket:
            await socket.next()
            for version in (5, 3, 5, 1, 6):
                source.tell(state_of(job.id, version=version))
                await asyncio.sleep(0.02)

            assert [(await socket.next())["version"] for _ in range(2)] == [5, 6]
            assert await socket.receive_nothing(timeout=0.05)

    async def test_takes_no_notice_of_what_it_is_sent(self, job: Job, alice_key: str) -> None:
        async with by_key(one(job), alice_key) as socket:
            await socket.next()
            await socket.send_to(text_data='{"type": "cancel"}')
            await socket.send_to(text_data="\0" * 1_000_000)
            await socket.send_to(bytes_data=b"\xff" * 1_000_000)
            await socket.send_input({"type": "websocket.receive", "text": None, "bytes": b""})
            await move(job, claim)

            assert (await socket.next())["status"] == "processing"

    async def test_shows_twenty_people_the_last_version_of_twenty_changes(self, job: Job, alice_key: str) -> None:
        await move(job, claim)
        sockets = [by_key(one(job), alice_key) for _ in range(20)]
        for socket in sockets:
            await socket.__aenter__()

        moving = asyncio.create_task(move(job, *[report(step / 20) for step in range(19)], complete))
        seen = await asyncio.gather(*[socket.until(lambda view: view["version"] == 22) for socket in sockets])
        await moving
        for socket in sockets:
            await socket.__aexit__()

        assert {views[-1]["status"] for views in seen} == {"completed"}
        for views in seen:
            versions = [view["version"] for view in views]
            assert versions == sorted(set(versions))
        assert is_idle(adapters.hub())

    async def test_leaves_nothing_watched(self, job: Job, alice_key: str) -> None:
        async with by_key(one(job), alice_key) as first:
            await first.next()
            async with by_key(one(job), alice_key) as second:
                await second.next()
            watched, open_ = dict(adapters.hub()._readers), REGISTRY.get_sample_value("imagen_websockets_open")

        assert list(watched) == [job_key(job.id)]
        assert (open_, REGISTRY.get_sample_value("imagen_websockets_open")) == (1, 0)
        assert is_idle(adapters.hub())


class TestASocketThatBreaks:
    async def test_is_closed_so_that_it_is_opened_again(
        self, job: Job, alice_key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_jobs: Any, **_options: Any) -> None:
            raise Unavailable("The database does not answer.")

        monkeypatch.setattr(queries, "job_views", away)

        with capture_logs() as lines:
            async with by_key(one(job), alice_key) as socket:
                assert await socket.closed() == 1011

        assert [(line["event"], line["error"]) for line in lines] == [("socket_broke", "Unavailable")]
        assert is_idle(adapters.hub())

    async def test_by_a_client_that_went_away_is_no_error(self, job: Job, alice_key: str) -> None:
        from imagen_site.asgi import application

        left = asyncio.Event()
        told: list[str] = []

        async def receive() -> dict[str, Any]:
            if not told:
                return {"type": "websocket.connect"}
            await left.wait()
            return {"type": "websocket.disconnect", "code": 1006}

        async def send(message: dict[str, Any]) -> None:
            told.append(message["type"])
            if message["type"] == "websocket.send":
                left.set()
                raise ConnectionResetError("gone")

        scope = by_key(one(job), alice_key).scope

        with capture_logs() as lines:
            async with asyncio.timeout(5):
                await application(scope, receive, send)

        assert told == ["websocket.accept", "websocket.send"]
        assert [line["event"] for line in lines if line["log_level"] == "error"] == []
        assert is_idle(adapters.hub())


class TestTheSocketOfAllJobs:
    async def test_shows_the_open_jobs_and_then_the_new_ones(
        self, site: World, job: Job, rich: Account, alice_key: str
    ) -> None:
        ended = await database_sync_to_async(site.submit)(rich)
        await database_sync_to_async(site.service.cancel)(ended, now=NOW)

        async with by_key(ALL, alice_key) as socket:
            first = await socket.next()
            new = await database_sync_to_async(site.submit)(rich)
            second = await socket.next()
            await move(new, claim)
            third = await socket.next()

        assert [(view["job_id"], view["status"]) for view in (first, second, third)] == [
            (str(job.id), "queued"),
            (str(new.id), "queued"),
            (str(new.id), "processing"),
        ]

    async def test_shows_once_how_a_job_ended_that_a_page_still_shows_as_open(
        self, site: World, job: Job, rich: Account, alice_key: str
    ) -> None:
        ended = await database_sync_to_async(site.submit)(rich)
        await database_sync_to_async(site.service.cancel)(ended, now=NOW)

        async with by_key(f"{ALL}?shown={ended.id},{job.id},{ended.id}", alice_key) as socket:
            seen = [await socket.next() for _ in range(2)]
            assert await socket.receive_nothing(timeout=0.1)

        assert {(view["job_id"], view["status"]) for view in seen} == {
            (str(job.id), "queued"),
            (str(ended.id), "cancelled"),
        }

    async def test_is_asked_in_vain_for_what_is_a_strangers_or_no_job(
        self, site: World, job: Job, charlie_key: str
    ) -> None:
        await database_sync_to_async(site.service.cancel)(job, now=NOW)

        for shown in (f"{job.id}", f"{uuid4()}", "nonsense,,%00", "%E9" * 100):
            async with by_key(f"{ALL}?shown={shown}", charlie_key) as socket:
                assert await socket.receive_nothing(timeout=0.1)

    async def test_shows_nothing_of_strangers(
        self, site: World, rich: Account, charlie: User, charlie_key: str
    ) -> None:
        await database_sync_to_async(site.submit)(rich)

        async with by_key(ALL, charlie_key) as socket:
            await database_sync_to_async(site.submit)(rich)

            assert await socket.receive_nothing(timeout=0.1)

    async def test_shows_how_a_job_ends_and_then_lets_go_of_it(
        self, site: World, job: Job, rich: Account, alice_key: str
    ) -> None:
        async with by_key(ALL, alice_key) as socket:
            await socket.next()
            await move(job, claim, complete)
            last = (await socket.until(lambda view: view["status"] == "completed"))[-1]
            # The feed is raised again and looks at all that is not settled: the ended job is not told twice.
            new = await database_sync_to_async(site.submit)(rich)
            after = await socket.next()
            watched = set(adapters.hub()._readers)

        assert last["output"]["url"].startswith("/files/")
        assert after["job_id"] == str(new.id)
        assert watched == {owner_key(str(rich.pk)), job_key(new.id)}

    async def test_shows_a_job_that_has_ended_before_anybody_looked(
        self, site: World, job: Job, rich: Account, alice_key: str
    ) -> None:
        def submit_and_cancel() -> Job:
            site.clock.pass_(seconds=1)
            made = site.submit(rich)
            site.service.cancel(made, now=NOW)
            return made

        async with by_key(ALL, alice_key) as socket:
            await socket.next()
            ended = await database_sync_to_async(submit_and_cancel)()
            seen = (await socket.until(lambda view: view["status"] == "cancelled"))[-1]
            watched = set(adapters.hub()._readers)

        assert seen["job_id"] == str(ended.id)
        assert job_key(ended.id) not in watched

    async def test_shows_many_jobs_that_come_at_once(self, site: World, rich: Account, alice_key: str) -> None:
        await database_sync_to_async(billing.services.grant)(account=rich, credits=100, reference="more", now=NOW)

        async with by_key(ALL, alice_key) as socket:
            jobs = [await database_sync_to_async(site.submit)(rich) for _ in range(30)]
            for job in jobs:
                await move(job, claim, complete)
            ended: set[str] = set()
            while len(ended) < len(jobs):
                view = await socket.next()
                if view["status"] == "completed":
                    ended.add(view["job_id"])

        assert ended == {str(job.id) for job in jobs}
        assert is_idle(adapters.hub())

    async def test_is_silent_while_there_is_nothing(self, alice_key: str) -> None:
        async with by_key(ALL, alice_key) as socket:
            assert await socket.receive_nothing(timeout=0.1)
