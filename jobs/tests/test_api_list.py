"""The list of an account's jobs: pages and filters."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import billing.services
from inference.errors import InferenceRefused
from inference.fake_client import Script
from jobs import adapters
from jobs.models import Job
from jobs.operations import OPERATIONS
from jobs.state_store.sql import SqlStateStore
from jobs.states import JobStatus
from jobs.tests.asking import JOBS, begin, refused
from jobs.tests.conftest import NOW, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import DjangoAssertNumQueries
    from rest_framework.test import APIClient

    from accounts.models import Account, User

# Fixed, because it stands in the names of tests.
SOME_ID = "6f1aafc0-d974-4591-9ede-ccb6806e23b1"

pytestmark = pytest.mark.usefixtures("adapted")


@pytest.fixture
def job(world: World, rich: Account) -> Job:
    return world.submit(rich)


@pytest.fixture
def crowd(world: World, rich: Account) -> list[Job]:
    """45 jobs of one moment, as a bulk import makes them."""
    billing.services.grant(account=rich, credits=1_000, reference="crowd", now=NOW)
    return [world.submit(rich) for _ in range(45)]


def pages(api: APIClient, address: str | None, direction: str = "next") -> Iterator[dict[str, Any]]:
    while address:
        page = api.get(address).json()
        yield page
        address = page[direction]


def ids(*listed: dict[str, Any]) -> list[str]:
    return [job["job_id"] for page in listed for job in page["results"]]


class TestTheList:
    def test_is_empty_for_who_has_no_job(self, api: APIClient) -> None:
        assert api.get(JOBS).json() == {"next": None, "previous": None, "results": []}

    def test_has_the_newest_first_and_nothing_of_strangers(
        self, world: World, rich: Account, api: APIClient, charlie: User
    ) -> None:
        billing.services.grant(account=charlie.account, credits=10, reference="charlie", now=NOW)
        world.submit(charlie.account)
        older = world.submit(rich)
        world.clock.pass_(seconds=1)
        newer = world.submit(rich)

        assert ids(api.get(JOBS).json()) == [str(newer.id), str(older.id)]

    def test_shows_jobs_in_the_shape_they_have_alone(self, job: Job, api: APIClient) -> None:
        assert api.get(JOBS).json()["results"] == [api.get(f"{JOBS}/{job.id}").json()]

    @pytest.mark.parametrize("later", [timedelta(seconds=1), timedelta(0)])
    def test_is_paged_without_loss_or_repeat_while_new_jobs_come(
        self, world: World, rich: Account, crowd: list[Job], api: APIClient, later: timedelta
    ) -> None:
        seen: list[str] = []
        world.clock.now += later

        for page in pages(api, JOBS):
            seen += ids(page)
            world.submit(rich)
            world.submit(rich)

        old = {str(job.id) for job in crowd}
        assert [name for name in seen if name in old] == list(dict.fromkeys(name for name in seen if name in old))
        assert old <= set(seen)
        assert len(seen) == len(set(seen))

    def test_is_paged_backwards_to_where_it_began(self, crowd: list[Job], api: APIClient) -> None:
        forward = list(pages(api, f"{JOBS}?limit=20"))

        backward = list(pages(api, forward[-1]["previous"], "previous"))

        assert [len(page["results"]) for page in forward] == [20, 20, 5]
        assert [ids(page) for page in backward] == [ids(forward[1]), ids(forward[0])]
        assert backward[-1]["previous"] is None
        assert ids(api.get(backward[-1]["next"]).json()) == ids(forward[1])

    def test_keeps_its_filters_from_page_to_page(self, world: World, crowd: list[Job], api: APIClient) -> None:
        for job in crowd[:5]:
            world.service.cancel(job, now=NOW)

        listed = list(pages(api, f"{JOBS}?status=cancelled&limit=2"))

        assert [len(page["results"]) for page in listed] == [2, 2, 1]
        assert set(ids(*listed)) == {str(job.id) for job in crowd[:5]}

    def test_has_twenty_jobs_a_page_and_never_more_than_a_hundred(
        self, world: World, rich: Account, api: APIClient
    ) -> None:
        billing.services.grant(account=rich, credits=1_000, reference="crowd", now=NOW)
        first = world.submit(rich)
        Job.objects.bulk_create([copy_of(first) for _ in range(110)])

        sizes = [len(api.get(f"{JOBS}{query}").json()["results"]) for query in ("", "?limit=7", "?limit=100000")]

        assert sizes == [20, 7, 100]

    @pytest.mark.parametrize("size", [1, 10, 40])
    def test_takes_the_same_few_questions_to_the_database_whatever_its_size(
        self,
        crowd: list[Job],
        api: APIClient,
        size: int,
        django_assert_num_queries: DjangoAssertNumQueries,
        monkeypatch: pytest.MonkeyPatch,
        world: World,
    ) -> None:
        states = SqlStateStore()
        for job in crowd:
            states.create(world.state(job))
        monkeypatch.setattr(adapters, "state_store", lambda: states)
        api.get(JOBS)

        # The key; the page; its live states.
        with django_assert_num_queries(3):
            page = api.get(f"{JOBS}?limit={size}").json()

        assert len(page["results"]) == size


def copy_of(job: Job) -> Job:
    copy = Job.objects.get(id=job.id)
    copy.id = uuid4()
    return copy


def forged(*words: str) -> str:
    return base64.urlsafe_b64encode(" ".join(words).encode()).decode()


class TestAFilter:
    @pytest.fixture
    def mixed(self, world: World, rich: Account) -> dict[str, Job]:
        """One job in each status, the settled ones known to SQL alone."""
        jobs = {status.value: world.submit(rich) for status in JobStatus}
        begin(world, jobs["processing"])
        world.runner.run(jobs["completed"].id)
        world.client.will(Script(error=InferenceRefused("bad_image", "No.")))
        world.runner.run(jobs["failed"].id)
        world.service.cancel(jobs["cancelled"], now=NOW)
        world.states.delete([jobs[name].id for name in ("completed", "failed", "cancelled")])
        return jobs

    @pytest.mark.parametrize("status", [status.value for status in JobStatus])
    def test_by_status_knows_live_and_settled_jobs(self, mixed: dict[str, Job], api: APIClient, status: str) -> None:
        assert ids(api.get(f"{JOBS}?status={status}").json()) == [str(mixed[status].id)]

    def test_by_status_knows_a_job_that_ended_and_is_not_settled_yet(
        self, world: World, rich: Account, api: APIClient
    ) -> None:
        job = world.submit(rich)
        world.with_runner(announce_end=lambda _job_id: None).run(job.id)

        assert ids(api.get(f"{JOBS}?status=completed").json()) == [str(job.id)]
        assert ids(api.get(f"{JOBS}?status=queued").json()) == []

    def test_by_operation_leaves_the_others_out(self, world: World, rich: Account, api: APIClient) -> None:
        world.submit(rich)
        cut_out = world.submit(rich, "background_remove")

        assert ids(api.get(f"{JOBS}?operation=background_remove").json()) == [str(cut_out.id)]

    def test_by_time_takes_what_lies_between(self, world: World, rich: Account, api: APIClient) -> None:
        jobs = []
        for _ in range(3):
            jobs.append(world.submit(rich))
            world.clock.pass_(hours=1)
        after, before = ((NOW + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ") for minutes in (30, 90))

        assert ids(api.get(f"{JOBS}?created_after={after}&created_before={before}").json()) == [str(jobs[1].id)]

    def test_by_parent_finds_what_was_made_again(self, world: World, rich: Account, api: APIClient) -> None:
        first = world.submit(rich)
        submission = world.service.understand(
            account=rich,
            operation=OPERATIONS["upscale"],
            values={},
            content=world.images.read(first.input_path),
            filename="again.png",
        )
        again = world.service.submit(replace(submission, parent=first.id), now=NOW)

        assert ids(api.get(f"{JOBS}?parent={first.id}").json()) == [str(again.id)]

    @pytest.mark.parametrize(
        ("query", "parameter"),
        [
            ("status=done", "status"),
            ("operation=rotate", "operation"),
            ("created_after=yesterday", "created_after"),
            ("created_before=2026-13-01", "created_before"),
            ("parent=1", "parent"),
            ("state=completed", "state"),
            ("limit=0", "limit"),
            ("limit=many", "limit"),
            ("cursor=nonsense", "cursor"),
            ("cursor=%00", "cursor"),
            ("cursor=" + "A" * 4_000, "cursor"),
            ("cursor=" + forged("older", SOME_ID, "0001-01-01T00:00:00+23:59"), "cursor"),
            ("cursor=" + forged("sideways", SOME_ID, NOW.isoformat()), "cursor"),
            ("cursor=" + forged("older", "1", NOW.isoformat()), "cursor"),
        ],
    )
    def test_that_is_wrong_is_named(self, api: APIClient, query: str, parameter: str) -> None:
        answer = api.get(f"{JOBS}?{query}")

        refused(answer, 422, "invalid_parameters")
        assert list(answer.json()["errors"]) == [parameter]
