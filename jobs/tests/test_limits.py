from __future__ import annotations

import threading
from dataclasses import replace
from typing import IO, TYPE_CHECKING

import pytest
from rest_framework.test import APIClient

import billing.services
from accounts.models import Account, Plan
from jobs.errors import AccountClosed, TooManyJobs, TooManyPixels, TooManySubmits
from jobs.image_store import MemoryImageStore
from jobs.limits import CEILING, PLANS, limits_of
from jobs.models import Job
from jobs.operations import MEGAPIXEL
from jobs.tests.conftest import NOW, World, png
from tests.databases import default_database, in_threads, sqlite_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_django import DjangoDbBlocker

    from accounts.models import User


def with_limits(account: Account, **limits: int) -> Account:
    for name, value in limits.items():
        setattr(account, name, value)
    account.save()
    return account


class TestLimits:
    @pytest.mark.parametrize("plan", Plan.values)
    def test_are_those_of_the_plan_where_the_account_has_none_of_its_own(self, plan: str) -> None:
        assert limits_of(Account(plan=plan)) == PLANS[plan]

    def test_of_an_account_stand_before_those_of_its_plan(self) -> None:
        account = Account(
            max_upload_megabytes=2,
            max_input_megapixels=3,
            max_output_megapixels=12,
            max_unfinished_jobs=0,
            max_submits_per_minute=7,
        )

        limits = limits_of(account)

        assert limits == replace(
            CEILING,
            max_bytes=2 * 1024 * 1024,
            max_upload_bytes=2 * 1024 * 1024,
            max_pixels=3 * MEGAPIXEL,
            max_output_pixels=12 * MEGAPIXEL,
            max_unfinished_jobs=0,
            max_submits_per_minute=7,
        )

    def test_never_go_beyond_what_the_front_door_and_the_model_server_take(self) -> None:
        account = Account(max_upload_megabytes=999, max_input_megapixels=999, max_output_megapixels=999)

        limits = limits_of(account)

        assert limits == CEILING

    def test_of_a_file_are_higher_where_it_is_sent_directly(self) -> None:
        limits = limits_of(Account(max_upload_megabytes=60))

        assert (limits.max_bytes, limits.max_upload_bytes) == (CEILING.max_bytes, 60 * 1024 * 1024)

    def test_of_pixels_hold_for_one_account_alone(self, world: World, rich: Account, charlie: User) -> None:
        billing.services.grant(account=charlie.account, credits=100, reference="charlie", now=NOW)
        with_limits(rich, max_output_megapixels=1)
        large = png(300, 300)

        with pytest.raises(TooManyPixels, match="at most 1 are made"):
            world.submit(rich, content=large)
        assert world.submit(charlie.account, content=large)


class TestUnfinishedJobs:
    def test_beyond_the_quota_are_refused_and_leave_nothing(self, world: World, rich: Account) -> None:
        with_limits(rich, max_unfinished_jobs=2)
        first, second = world.submit(rich), world.submit(rich)
        held = billing.services.balance(rich).held

        with pytest.raises(TooManyJobs, match="2 unfinished jobs at once"):
            world.submit(rich)

        assert set(Job.objects.all()) == {first, second}
        assert billing.services.balance(rich).held == held
        assert len(world.images.objects) == 2

    def test_give_their_place_free_when_they_end(self, world: World, rich: Account) -> None:
        with_limits(rich, max_unfinished_jobs=1)
        world.service.cancel(world.submit(rich), now=NOW)

        assert world.submit(rich)

    def test_do_not_stand_in_the_way_of_a_repeated_request(self, world: World, rich: Account) -> None:
        with_limits(rich, max_unfinished_jobs=1)
        first = world.submit(rich, idempotency_key="once")

        assert world.submit(rich, idempotency_key="once") == first

    def test_of_an_operator_pass_over_the_quota(self, world: World, rich: Account) -> None:
        with_limits(rich, max_unfinished_jobs=1, max_submits_per_minute=1)
        job = world.submit(rich)

        again = world.service.rerun(job, now=NOW, beyond_quota=True)

        assert again.parent_id == job.id
        with pytest.raises(TooManyJobs):
            world.service.rerun(job, now=NOW)

    def test_are_none_for_an_account_that_was_closed(self, world: World, rich: Account) -> None:
        with_limits(rich, max_unfinished_jobs=0)

        with pytest.raises(AccountClosed):
            world.submit(rich)


class TestSubmits:
    def test_beyond_the_rate_are_told_when_to_come_back(self, world: World, rich: Account) -> None:
        with_limits(rich, max_submits_per_minute=2)
        world.submit(rich)
        world.clock.pass_(seconds=20)
        world.submit(rich)
        world.clock.pass_(seconds=15.5)

        with pytest.raises(TooManySubmits, match="2 jobs a minute") as refusal:
            world.submit(rich)

        assert refusal.value.retry_after == 25
        world.clock.pass_(seconds=25)
        assert world.submit(rich)


class TestTheApi:
    def test_answers_429_with_the_code_and_when_to_come_back(
        self, adapted: World, rich: Account, alice_key: str
    ) -> None:
        with_limits(rich, max_unfinished_jobs=1)
        adapted.submit(rich)
        api = APIClient()
        api.credentials(HTTP_X_API_KEY=alice_key)
        from django.core.files.uploadedfile import SimpleUploadedFile

        answer = api.post("/api/v1/images/upscale", {"image": SimpleUploadedFile("a.png", png())}, format="multipart")

        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_jobs")
        assert int(answer["Retry-After"]) > 0


class _Meeting(MemoryImageStore):
    """Holds every submit back until all have passed the first check."""

    def __init__(self, parties: int) -> None:
        super().__init__()
        self._all_here = threading.Barrier(parties, timeout=30)

    def write(self, path: str, content: IO[bytes]) -> None:
        self._all_here.wait()
        super().write(path, content)


class TestSubmitsAtOnce:
    QUOTA, THREADS = 3, 8

    @pytest.fixture
    def sqlite(self, tmp_path: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
        with django_db_blocker.unblock(), default_database(sqlite_file(str(tmp_path / "jobs.sqlite3"))):
            yield

    def test_are_accepted_for_exactly_the_quota_on_sqlite(self, sqlite: None, world: World) -> None:
        self.race(world)

    @pytest.mark.postgres
    def test_are_accepted_for_exactly_the_quota_on_postgresql(self, postgres: object, world: World) -> None:
        self.race(world)

    def race(self, world: World) -> None:
        account = Account.objects.create(name="Busy", max_unfinished_jobs=self.QUOTA)
        billing.services.grant(account=account, credits=1_000, reference="race", now=NOW)
        service = replace(world.service, images=_Meeting(self.THREADS))
        world.service = service

        def accepted() -> bool:
            try:
                world.submit(account)
            except TooManyJobs:
                return False
            return True

        answers = in_threads(self.THREADS, [accepted] * self.THREADS)

        assert sum(answers) == self.QUOTA
        assert Job.objects.count() == self.QUOTA
        assert billing.services.audit(account).agrees
