from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import billing.services
from billing.errors import InsufficientCredits
from billing.models import LedgerEntry
from jobs.errors import (
    AccountClosed,
    IdempotencyKeyReused,
    IllegalMove,
    ImageUrlUnreachable,
    InvalidIdempotencyKey,
    InvalidParameters,
    ObjectMissing,
    TooManyPixels,
    Unavailable,
)
from jobs.fetch import ImageFetcher
from jobs.models import Job
from jobs.operations import OPERATIONS, Limits
from jobs.states import JobStatus
from jobs.tests.conftest import NOW, World, png

if TYPE_CHECKING:
    from accounts.models import Account, User
    from jobs.states import JobState


def nothing_is_left(world: World, account: Account) -> bool:
    return (
        not Job.objects.exists()
        and not world.images.objects
        and not world.queue.published
        and billing.services.balance(account).held == 0
    )


class TestSubmit:
    def test_stores_the_photo_holds_the_price_and_queues_the_job(self, world: World, rich: Account) -> None:
        job = world.submit(rich, values={"scale": 2})

        assert world.images.read(job.input_path) == png()
        assert job.input_path == f"inputs/{job.id}/holiday.png"
        assert billing.services.balance(rich) == billing.services.Balance(available=100 - job.credits, held=job.credits)
        assert world.queue.published == [(job.id, "upscale")]
        assert world.state(job).status is JobStatus.QUEUED
        assert world.states.feeds == {str(rich.pk): 1}

    def test_leaves_nothing_when_credits_are_short(self, world: World, alice: User) -> None:
        with pytest.raises(InsufficientCredits):
            world.submit(alice.account)

        assert nothing_is_left(world, alice.account)

    def test_deletes_the_photo_when_the_transaction_fails(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Somebody else spends the credits between the check and the hold.
        def spent(**_hold: Any) -> None:
            raise InsufficientCredits(needed=2, available=0)

        monkeypatch.setattr(billing.services, "hold", spent)

        with pytest.raises(InsufficientCredits):
            world.submit(rich)

        assert nothing_is_left(world, rich)

    def test_leaves_nothing_when_the_image_store_is_away(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_path: str, _content: object) -> None:
            raise Unavailable("away")

        monkeypatch.setattr(world.images, "write", away)

        with pytest.raises(Unavailable):
            world.submit(rich)

        assert nothing_is_left(world, rich)

    def test_leaves_no_half_of_a_photo_when_the_image_store_breaks_off(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def half(path: str, content: IO[bytes]) -> None:
            world.images.objects[path] = content.read(20)
            raise Unavailable("The disk is full.")

        monkeypatch.setattr(world.images, "write", half)

        with pytest.raises(Unavailable, match="full"):
            world.submit(rich)

        assert nothing_is_left(world, rich)

    def test_queues_the_job_although_the_store_did_not_say_that_it_has_its_state(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = world.states.create

        def lose_the_answer(state: JobState) -> bool:
            create(state)
            raise Unavailable("The answer was lost.")

        monkeypatch.setattr(world.states, "create", lose_the_answer)

        job = world.submit(rich)

        assert world.queue.published == [(job.id, "upscale")]
        assert world.state(job).status is JobStatus.QUEUED

    def test_accepts_the_job_although_the_queue_is_away(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(**_job: Any) -> None:
            raise Unavailable("away")

        monkeypatch.setattr(world.queue, "publish", away)

        job = world.submit(rich)

        assert Job.objects.get() == job
        # Which is how the sweep finds it.
        assert world.states.read_many([job.id]) == {}

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"values": {"scale": 3}}, InvalidParameters),
            ({"values": {"colour": "red"}}, InvalidParameters),
            ({"content": png(2100, 2000)}, TooManyPixels),
            ({"idempotency_key": "with space"}, InvalidIdempotencyKey),
        ],
    )
    def test_refuses_before_anything_is_stored(
        self, world: World, rich: Account, options: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            world.submit(rich, **options)

        assert nothing_is_left(world, rich)


class TestSubmitWithAnIdempotencyKey:
    def test_makes_and_charges_one_job_however_often_it_is_repeated(self, world: World, rich: Account) -> None:
        jobs = [world.submit(rich, idempotency_key="order-1") for _ in range(4)]

        assert len({job.id for job in jobs}) == 1
        assert LedgerEntry.objects.filter(kind="hold").count() == 1
        assert len(world.images.objects) == 1

    def test_replays_although_the_credits_are_spent_by_now(self, world: World, rich: Account) -> None:
        first = world.submit(rich, idempotency_key="order-1")
        billing.services.hold(account=rich, credits=100 - first.credits, reference="other", now=NOW)

        assert world.submit(rich, idempotency_key="order-1").id == first.id

    @pytest.mark.parametrize(
        "change", [{"values": {"scale": 2}}, {"content": png(65, 48)}, {"operation": "background_remove"}]
    )
    def test_refuses_the_key_for_another_request(self, world: World, rich: Account, change: dict[str, Any]) -> None:
        world.submit(rich, idempotency_key="order-1")

        with pytest.raises(IdempotencyKeyReused):
            world.submit(rich, idempotency_key="order-1", **change)

        assert Job.objects.count() == 1

    def test_belongs_to_the_account(self, world: World, rich: Account, charlie: User) -> None:
        billing.services.grant(account=charlie.account, credits=10, reference="charlie", now=NOW)

        first, second = (world.submit(who, idempotency_key="order-1") for who in (rich, charlie.account))

        assert first.id != second.id


class Fetcher(ImageFetcher):
    """Fetches from a dictionary, and remembers what was asked for."""

    def __init__(self, **photos: bytes) -> None:
        super().__init__(patience=timedelta(seconds=1))
        object.__setattr__(self, "photos", photos)
        object.__setattr__(self, "asked", [])

    photos: dict[str, bytes]
    asked: list[str]

    def fetch(self, url: str, *, limits: Limits) -> tuple[bytes, str]:
        self.asked.append(url)
        name = url.rpartition("/")[2]
        if name not in self.photos:
            raise ImageUrlUnreachable("gone")
        return self.photos[name], name


class TestSubmitImageUrl:
    @pytest.fixture
    def fetcher(self, world: World) -> Fetcher:
        fetcher = Fetcher(beach=png())
        world.service = replace(world.service, fetcher=fetcher)
        return fetcher

    def submit(self, world: World, account: Account, url: str = "https://a.example/beach", **options: Any) -> Job:
        return world.service.submit_image_url(
            account=account,
            operation=OPERATIONS["upscale"],
            values=options.pop("values", {}),
            image_url=url,
            now=world.clock(),
            **options,
        )

    def test_is_a_job_like_any_other(self, world: World, rich: Account, fetcher: Fetcher) -> None:
        job = self.submit(world, rich, values={"scale": 2})

        assert (job.filename, job.params["scale"]) == ("beach", 2)
        assert world.images.read(job.input_path) == png()
        assert billing.services.balance(rich).held == job.credits

    def test_fetches_nothing_for_an_account_that_may_not_submit(
        self, world: World, rich: Account, fetcher: Fetcher
    ) -> None:
        rich.max_unfinished_jobs = 0

        with pytest.raises(AccountClosed):
            self.submit(world, rich)

        assert fetcher.asked == []

    def test_fetches_nothing_for_a_wrong_parameter(self, world: World, rich: Account, fetcher: Fetcher) -> None:
        with pytest.raises(InvalidParameters):
            self.submit(world, rich, values={"scale": 3})

        assert fetcher.asked == []

    def test_makes_one_job_for_a_key_although_the_photo_has_gone_since(
        self, world: World, rich: Account, fetcher: Fetcher
    ) -> None:
        first = self.submit(world, rich, idempotency_key="k")
        fetcher.photos.clear()

        assert self.submit(world, rich, idempotency_key="k").id == first.id
        assert len(fetcher.asked) == 1

    def test_refuses_the_key_for_another_address(self, world: World, rich: Account, fetcher: Fetcher) -> None:
        self.submit(world, rich, idempotency_key="k")

        with pytest.raises(IdempotencyKeyReused):
            self.submit(world, rich, url="https://b.example/beach", idempotency_key="k")

    def test_leaves_nothing_when_there_is_no_photo(self, world: World, rich: Account, fetcher: Fetcher) -> None:
        with pytest.raises(ImageUrlUnreachable):
            self.submit(world, rich, url="https://a.example/mountain")

        assert nothing_is_left(world, rich)


class TestRerun:
    def test_makes_a_job_of_its_own_from_the_same_photo_and_settings(self, world: World, rich: Account) -> None:
        first = world.submit(rich, values={"scale": 2, "seed": 7}, filename="beach.png")

        again = world.service.rerun(first, now=world.clock())

        assert again.id != first.id
        assert again.parent_id == first.id
        assert (again.operation, again.params, again.filename) == ("upscale", first.params, "beach.png")
        assert world.images.read(again.input_path) == png()
        assert billing.services.balance(rich).held == first.credits + again.credits

    def test_changes_only_what_is_asked_for(self, world: World, rich: Account) -> None:
        first = world.submit(rich, values={"scale": 2, "seed": 7})

        again = world.service.rerun(first, values={"seed": 8}, now=world.clock())

        assert (again.params["scale"], again.params["seed"]) == (2, 8)

    def test_takes_no_settings_over_to_another_operation(self, world: World, rich: Account) -> None:
        first = world.submit(rich, "style_comic", values={"strength": 0.9})

        other = world.service.rerun(first, operation=OPERATIONS["enhance"], now=world.clock())

        assert other.operation == "enhance"
        assert other.params["strength"] == 0.3

    def test_forgets_a_setting_that_the_operation_no_longer_has(self, world: World, rich: Account) -> None:
        first = world.submit(rich)
        first.params["moustache"] = True

        assert "moustache" not in world.service.rerun(first, now=world.clock()).params

    def test_is_refused_once_the_photo_is_gone(self, world: World, rich: Account) -> None:
        first = world.submit(rich)
        world.images.delete_job(first.id)

        with pytest.raises(ObjectMissing):
            world.service.rerun(first, now=world.clock())

        assert Job.objects.count() == 1

    def test_makes_one_job_for_a_key(self, world: World, rich: Account) -> None:
        first = world.submit(rich)

        again = [world.service.rerun(first, idempotency_key="run-1", now=world.clock()) for _ in range(2)]

        assert again[0].id == again[1].id


class TestCancel:
    def test_releases_the_hold_and_is_harmless_twice(self, world: World, rich: Account) -> None:
        job = world.submit(rich)

        world.service.cancel(job, now=NOW)
        world.service.cancel(job, now=NOW)

        assert world.state(job).status is JobStatus.CANCELLED
        assert billing.services.balance(rich) == billing.services.Balance(available=100, held=0)

    def test_of_a_job_that_was_never_announced_still_counts(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.states.delete([job.id])

        world.service.cancel(job, now=NOW)

        assert Job.objects.get().status == "cancelled"

    def test_loses_to_a_completed_job_which_stays_charged(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.runner.run(job.id)

        with pytest.raises(IllegalMove):
            world.service.cancel(job, now=NOW)

        assert world.state(job).status is JobStatus.COMPLETED
        assert billing.services.charged(str(job.id)) == job.credits


class TestSettle:
    def test_happens_once(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.runner.run(job.id)

        assert [world.service.settle(job.id, now=NOW) for _ in range(3)] == [False, False, False]
        assert LedgerEntry.objects.filter(kind="capture").count() == 1

    def test_leaves_a_job_that_runs_alone(self, world: World, rich: Account) -> None:
        job = world.submit(rich)

        assert not world.service.settle(job.id, now=NOW)
        assert not world.service.settle(uuid4(), now=NOW)
        assert Job.objects.get().settled_at is None

    def test_copies_the_outcome_so_that_it_outlives_the_live_state(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.runner.run(job.id)
        state = world.state(job)

        settled = Job.objects.get()

        assert settled.status == "completed"
        assert state.output is not None
        assert settled.outcome["output"] == state.output.as_json()
        assert settled.outcome["engine"] == state.engine
        assert settled.outcome["provenance"] == state.provenance
        assert settled.attempts == 1


class TestAFreeJob:
    def test_holds_no_credits_and_ends_like_any_other(self, world: World, alice: User) -> None:
        free = world.submit(alice.account, free=True)

        world.runner.run(free.id)

        assert Job.objects.get().status == "completed"
        assert Job.objects.get().credits == 0
        assert not LedgerEntry.objects.exists()

    def test_leaves_no_credits_behind_when_it_is_cancelled(self, world: World, alice: User) -> None:
        free = world.submit(alice.account, free=True)

        world.service.cancel(free, now=NOW)

        assert Job.objects.get().status == "cancelled"
        assert billing.services.balance(alice.account) == billing.services.Balance(available=0, held=0)
