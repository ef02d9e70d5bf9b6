from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import billing.services
from jobs.errors import Unavailable
from jobs.models import Job
from jobs.states import JobStatus
from jobs.sweep import Sweeper, SweepReport

if TYPE_CHECKING:
    from datetime import datetime

    from accounts.models import Account
    from jobs.tests.conftest import World

LEASE = timedelta(seconds=60)


@pytest.fixture
def sweeper(world: World) -> Sweeper:
    return Sweeper(service=world.service, uploads=world.uploads, max_attempts=5, republish_after=timedelta(minutes=10))


def claim(world: World, job: Job, *, now: datetime) -> None:
    state, version = world.states.read(job.id)
    world.states.write(state.claim(now=now, lease=LEASE, max_attempts=5), expected=version)


class TestSweep:
    def test_leaves_healthy_jobs_alone(self, world: World, rich: Account, sweeper: Sweeper) -> None:
        waiting, working = world.submit(rich), world.submit(rich)
        claim(world, working, now=world.clock())
        world.queue.published.clear()

        assert sweeper.sweep(now=world.clock.pass_(seconds=30)).idle

        assert world.queue.published == []
        assert world.state(waiting).status is JobStatus.QUEUED

    @pytest.mark.parametrize("announced", [True, False])
    def test_ends_a_job_whose_operation_is_no_more_and_goes_on(
        self, world: World, rich: Account, sweeper: Sweeper, *, announced: bool
    ) -> None:
        job, other = world.submit(rich), world.submit(rich)
        Job.objects.filter(id=job.id).update(operation="sharpen")
        world.states.delete([other.id] if announced else [job.id, other.id])

        report = sweeper.sweep(now=world.clock.pass_(minutes=20))

        job.refresh_from_db()
        assert (report.parked, report.announced) == (1, 1)
        assert (job.status, job.error_code) == ("failed", "operation_gone")
        assert billing.services.balance(rich).held == other.credits

    def test_announces_a_job_whose_announcement_was_lost(self, world: World, rich: Account, sweeper: Sweeper) -> None:
        job = world.submit(rich)
        world.states.delete([job.id])
        world.queue.published.clear()

        report = sweeper.sweep(now=world.clock.pass_(seconds=30))

        assert report == SweepReport(announced=1)
        assert world.queue.published == [(job.id, "upscale")]
        assert world.runner.run(job.id).value == "ended"

    def test_announces_it_again_at_once_when_the_queue_was_away_at_the_first_try(
        self, world: World, rich: Account, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = world.submit(rich)
        world.states.delete([job.id])
        world.queue.published.clear()

        def away(**_job: Any) -> None:
            raise Unavailable("away")

        with monkeypatch.context() as outage:
            outage.setattr(world.queue, "publish", away)
            during = sweeper.sweep(now=world.clock.pass_(seconds=30))
        after = sweeper.sweep(now=world.clock.pass_(seconds=5))

        assert (during, after) == (SweepReport(failed=1), SweepReport(announced=1))
        assert world.queue.published == [(job.id, "upscale")]

    def test_does_not_disturb_a_request_that_is_still_announcing(
        self, world: World, rich: Account, sweeper: Sweeper
    ) -> None:
        job = world.submit(rich)
        world.states.delete([job.id])

        assert sweeper.sweep(now=world.clock.pass_(seconds=1)).idle

    def test_publishes_a_job_whose_message_was_lost_once_each_while(
        self, world: World, rich: Account, sweeper: Sweeper
    ) -> None:
        world.submit(rich)
        world.queue.published.clear()

        now = world.clock.pass_(minutes=11)
        reports = [sweeper.sweep(now=now + timedelta(seconds=5 * n)) for n in range(5)]

        assert [report.republished for report in reports] == [1, 0, 0, 0, 0]

    def test_publishes_a_job_whose_workers_lease_ran_out_once_for_each_lease(
        self, world: World, rich: Account, sweeper: Sweeper
    ) -> None:
        job = world.submit(rich)
        claim(world, job, now=world.clock())
        world.queue.published.clear()

        now = world.clock.pass_(seconds=61)
        sweeper.sweep(now=now)
        sweeper.sweep(now=now + timedelta(seconds=5))

        assert world.queue.published == [(job.id, "upscale")]

    def test_parks_a_job_that_was_begun_too_often(self, world: World, rich: Account, sweeper: Sweeper) -> None:
        job = world.submit(rich)
        for _ in range(5):
            claim(world, job, now=world.clock())
            world.clock.pass_(seconds=61)

        report = sweeper.sweep(now=world.clock())

        assert report.parked == 1
        assert world.state(job).error_code == "attempts_exhausted"
        assert billing.services.balance(rich) == billing.services.Balance(available=100, held=0)

    def test_settles_what_ended_unsettled(self, world: World, rich: Account, sweeper: Sweeper) -> None:
        job = world.submit(rich)
        world.with_runner(announce_end=lambda _job_id: None).run(job.id)

        reports = [sweeper.sweep(now=world.clock()) for _ in range(2)]

        assert [report.settled for report in reports] == [1, 0]
        assert billing.services.charged(str(job.id)) == job.credits

    def test_deletes_pixels_and_live_state_after_the_retention_and_keeps_the_record(
        self, world: World, rich: Account, sweeper: Sweeper
    ) -> None:
        job, other = world.submit(rich), world.submit(rich)
        world.runner.run(job.id)

        report = sweeper.sweep(now=world.clock.pass_(days=8))

        kept = Job.objects.get(id=job.id)
        assert report.purged == 1
        assert kept.purged_at is not None
        assert kept.status == "completed"
        assert [path.split("/")[1] for path in world.images.objects] == [str(other.id)]
        assert world.states.read_many([job.id]) == {}

    def test_goes_on_after_a_job_that_cannot_be_repaired(
        self, world: World, rich: Account, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lost, ended = world.submit(rich), world.submit(rich)
        world.states.delete([lost.id])
        world.with_runner(announce_end=lambda _job_id: None).run(ended.id)

        def away(**_job: Any) -> None:
            raise Unavailable("away")

        monkeypatch.setattr(world.queue, "publish", away)

        report = sweeper.sweep(now=world.clock.pass_(seconds=30))

        assert (report.failed, report.settled) == (1, 1)

    def test_looks_at_every_job_of_a_long_list(self, world: World, rich: Account, sweeper: Sweeper) -> None:
        billing.services.grant(account=rich, credits=10_000, reference="more", now=world.clock())
        jobs = [world.submit(rich, beyond_quota=True) for _ in range(310)]
        world.states.delete([job.id for job in jobs])

        assert sweeper.sweep(now=world.clock.pass_(seconds=30)).announced == 310
