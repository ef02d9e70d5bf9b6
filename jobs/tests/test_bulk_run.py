from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

import billing.services
from billing.models import LedgerEntry
from jobs.bulk.work import Rerun, reruns
from jobs.errors import TooManyJobs, Unavailable
from jobs.models import Job
from jobs.operations import OPERATIONS
from jobs.tests.bulk_cast import Bulk
from jobs.tests.conftest import NOW, World, png

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accounts.models import Account, User
    from jobs.bulk.work import Work


@pytest.fixture
def bulk(world: World) -> Bulk:
    return Bulk(world)


@pytest.fixture
def three(world: World, rich: Account) -> list[Job]:
    return [world.submit(rich, content=png(64 + number)) for number in range(3)]


def again(world: World, jobs: list[Job], **options: Any) -> Iterator[Work]:
    return reruns(world.service, jobs, options.pop("operation", None), options, free=options.pop("free", False))


def children() -> list[Job]:
    return list(Job.objects.exclude(parent=None).order_by("requested_at"))


class TestARun:
    def test_makes_a_child_of_each_job_which_its_account_pays_for(
        self, world: World, bulk: Bulk, rich: Account, three: list[Job]
    ) -> None:
        held = billing.services.balance(rich).held

        summary = bulk.run(again(world, three))

        assert {job.parent_id for job in children()} == {job.id for job in three}
        assert (summary.made, summary.credits, summary.well) == (3, 6, True)
        assert billing.services.balance(rich).held == held + 6

    def test_makes_nothing_twice_however_often_it_is_repeated(
        self, world: World, bulk: Bulk, three: list[Job], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bulk.run(again(world, three[:2]))
        # What was made before is not even read again.
        for job in three[:2]:
            world.images.delete_job(job.id)

        summary = bulk.run(again(world, three))

        assert (summary.made, summary.made_before, summary.well) == (1, 2, True)
        assert len(children()) == 3

    def test_of_another_name_does_all_of_it_again(self, world: World, bulk: Bulk, three: list[Job]) -> None:
        bulk.run(again(world, three))

        Bulk(world, name="second").run(again(world, three))

        assert len(children()) == 6

    def test_refuses_to_take_another_request_for_its_own(self, world: World, bulk: Bulk, three: list[Job]) -> None:
        bulk.run(again(world, three))

        summary = bulk.run(again(world, three, operation=OPERATIONS["enhance"]))

        assert summary.failed == {"done_otherwise": 3}
        assert len(children()) == 3

    def test_for_nothing_moves_no_credits(self, world: World, bulk: Bulk, three: list[Job]) -> None:
        entries = LedgerEntry.objects.count()

        summary = bulk.run(reruns(world.service, three, None, {}, free=True))

        assert (summary.made, summary.credits) == (3, 0)
        assert LedgerEntry.objects.count() == entries

    def test_is_not_held_up_by_the_accounts_quota(self, world: World, bulk: Bulk, three: list[Job]) -> None:
        Job.objects.update(settled_at=None)
        account = three[0].account
        account.max_unfinished_jobs = 1
        account.save()

        assert bulk.run(again(world, three)).made == 3

    def test_leaves_the_accounts_quota_to_its_people(
        self, world: World, bulk: Bulk, rich: Account, three: list[Job]
    ) -> None:
        rich.max_unfinished_jobs, rich.max_submits_per_minute = 4, 4
        rich.save()

        bulk.run(again(world, three))
        world.submit(rich)

        with pytest.raises(TooManyJobs):
            world.submit(rich)


class TestWhatCannotBeDone:
    def test_is_skipped_where_the_photo_has_expired(self, world: World, bulk: Bulk, three: list[Job]) -> None:
        world.images.delete_job(three[0].id)
        three[1].purged_at = NOW

        summary = bulk.run(again(world, three))

        assert (summary.made, summary.skipped, summary.well) == (1, {"image_gone": 2}, True)
        assert f"{three[1].id}: skipped. The photo has expired" in bulk.said.getvalue()

    def test_is_counted_by_its_code_and_the_rest_goes_on(self, world: World, bulk: Bulk, rich: Account) -> None:
        jobs = [world.submit(rich, "style_comic", content=png(side, side)) for side in (2100, 64)]

        summary = bulk.run(reruns(world.service, jobs, OPERATIONS["upscale"], {}, free=False))

        assert (summary.made, summary.failed) == (1, {"too_many_pixels": 1})
        assert "result would have 70.6 megapixels" in bulk.said.getvalue()

    def test_ends_the_run_for_an_account_without_credits_alone(
        self, world: World, bulk: Bulk, three: list[Job], charlie: User
    ) -> None:
        billing.services.grant(account=charlie.account, credits=4, reference="charlie", now=NOW)
        poor = [world.submit(charlie.account, content=png(70 + number)) for number in range(2)]

        summary = bulk.run(again(world, [poor[0], three[0], poor[1], three[1]]))

        assert (summary.made, summary.failed, summary.well) == (2, {"insufficient_credits": 2}, False)
        assert bulk.said.getvalue().count("needs 2 credits and the account has 0") == 1

    def test_goes_on_where_the_credits_ended_once_there_are_more(
        self, world: World, bulk: Bulk, three: list[Job]
    ) -> None:
        account = three[0].account
        left = billing.services.balance(account).available
        billing.services.hold(account=account, credits=left - 2, reference="other", now=NOW)
        bulk.run(again(world, three))
        billing.services.grant(account=account, credits=10, reference="more", now=NOW)

        summary = bulk.run(again(world, three))

        assert (summary.made_before, summary.made, summary.well) == (1, 2, True)


class TestAnOutage:
    @pytest.mark.parametrize("error", [Unavailable("The image store does not answer."), OperationalError("locked")])
    def test_is_waited_out(
        self, world: World, bulk: Bulk, three: list[Job], error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        errors, read = [error] * 3, world.images.read
        monkeypatch.setattr(world.images, "read", lambda path: _raise(errors.pop()) if errors else read(path))

        summary = bulk.run(again(world, three))

        assert (summary.made, summary.well) == (3, True)
        assert len(bulk.stop.waited) == 3

    def test_that_lasts_ends_the_run_with_its_sentence_and_loses_nothing(
        self, world: World, bulk: Bulk, three: list[Job], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as away:
            away.setattr(world.images, "write", lambda *_: _raise(Unavailable("The image store does not answer.")))
            broken = bulk.run(again(world, three))
        summary = bulk.run(again(world, three))

        assert (broken.made, broken.well) == (0, False)
        assert broken.broken_off == "The image store does not answer. Given up after waiting for it."
        assert 55 < sum(bulk.stop.waited) < 75
        assert (summary.made, len(children())) == (3, 3)


class TestAStop:
    def test_comes_between_two_jobs_and_the_next_call_does_the_rest(
        self, world: World, bulk: Bulk, three: list[Job]
    ) -> None:
        def works() -> Iterator[Work]:
            for number, work in enumerate(again(world, three)):
                if number == 2:
                    bulk.stop.ask(signal.SIGINT)
                yield work

        stopped = bulk.run(works())
        summary = Bulk(world).run(again(world, three))

        assert (stopped.made, stopped.broken_off) == (2, "Stopped as asked.")
        assert (summary.made_before, summary.made) == (2, 1)


class TestThePace:
    def test_leaves_as_much_time_between_two_jobs_as_was_asked_for(
        self, world: World, bulk: Bulk, three: list[Job]
    ) -> None:
        bulk.seconds_between = 3.0

        bulk.run(again(world, three))

        assert sum(bulk.stop.waited) == pytest.approx(6.0)

    def test_waits_while_anybody_has_too_many_unfinished_jobs(
        self, world: World, bulk: Bulk, rich: Account, three: list[Job]
    ) -> None:
        lengths: list[int] = []

        def unfinished(most: int) -> int:
            lengths.append(Job.objects.unsettled()[:most].count())
            return lengths[-1]

        def work_one_off() -> None:
            job_id, _ = world.queue.published.pop(0)
            world.runner.run(job_id)

        bulk.max_queued, bulk.unfinished, bulk.stop.meanwhile = 2, unfinished, work_one_off

        summary = bulk.run(again(world, three))

        assert summary.made == 3
        # Three of the person's own were there before, and each new one waited for its place.
        assert Job.objects.unsettled().count() == 2
        assert len(bulk.stop.waited) == 4


class TestWaiting:
    def test_counts_how_the_jobs_ended_and_what_they_cost(
        self, world: World, bulk: Bulk, three: list[Job], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def work_all_off() -> None:
            while world.queue.published:
                job_id, _ = world.queue.published.pop(0)
                world.runner.run(job_id)

        work_all_off()
        bulk.stop.meanwhile = work_all_off
        seen: list[tuple[str, str]] = []

        summary = bulk.run(again(world, three), wait=True, keep=lambda job, name: seen.append((job.status, name)))

        assert (summary.made, summary.completed, summary.charged) == (3, 3, 6)
        assert sorted(seen) == sorted(("completed", str(job.id)) for job in three)

    def test_says_which_failed_and_why(self, world: World, bulk: Bulk, three: list[Job]) -> None:
        def fail_all() -> None:
            for job in children():
                state, version = world.states.read(job.id)
                if not state.status.terminal:
                    world.states.write(
                        state.fail(now=NOW, code="internal", message="Something went wrong."), expected=version
                    )

        bulk.stop.meanwhile = fail_all

        summary = bulk.run(again(world, three), wait=True)

        # Settled here: nobody else has done it.
        assert Job.objects.filter(status="failed").exclude(settled_at=None).count() == 3
        assert (summary.completed, summary.failed, summary.well) == (0, {"internal": 3}, False)
        assert f"{three[0].id}: Something went wrong." in bulk.said.getvalue()

    def test_follows_what_an_earlier_call_made(self, world: World, bulk: Bulk, three: list[Job]) -> None:
        bulk.run(again(world, three))
        while world.queue.published:
            world.runner.run(world.queue.published.pop(0)[0])

        summary = bulk.run(again(world, three), wait=True)

        assert (summary.made, summary.made_before, summary.completed) == (0, 3, 3)


class TestRerun:
    def test_takes_no_photo_into_memory_to_say_what_it_would_do(self, world: World, three: list[Job]) -> None:
        world.images.objects.clear()

        sketch = Rerun(world.service, three[0], OPERATIONS["enhance"], {"strength": "0.7"}).sketch()

        assert (sketch.operation.name, sketch.params["strength"], sketch.upload.pixels) == ("enhance", 0.7, 64 * 48)


def _raise(error: Exception) -> Any:
    raise error
