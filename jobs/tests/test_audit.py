from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from structlog.testing import capture_logs

import billing.services
from accounts.models import Account
from billing.errors import AlreadySettled
from billing.models import CreditBalance, Kind, LedgerEntry
from inference.errors import InferenceRefused
from inference.fake_client import Script
from jobs.audit import Discrepancy, audit
from jobs.models import Job
from jobs.sweep import Sweeper
from jobs.tests.conftest import INFO, NOW, World


def done(world: World, account: Account) -> Job:
    """Return a job that completed and was charged, once."""
    world.client.will(Script(info=INFO))
    job = world.submit(account)
    world.runner.run(job.id)
    world.service.settle(job.id, now=world.clock())
    return job


class TestAudit:
    def test_finds_nothing_where_each_job_was_charged_by_how_it_ended(self, world: World, rich: Account) -> None:
        done(world, rich)
        world.client.will(Script(error=InferenceRefused("unreadable_image", "No.")))
        failed = world.submit(rich)
        world.runner.run(failed.id)
        world.service.settle(failed.id, now=NOW)
        world.service.cancel(world.submit(rich), now=NOW)
        world.submit(rich)

        assert Job.objects.exclude(settled_at=None).count() == 3
        assert list(audit(Job.objects.all())) == []

    def test_finds_a_job_that_was_charged_although_it_did_not_complete(self, world: World, rich: Account) -> None:
        job = done(world, rich)
        Job.objects.filter(id=job.id).update(status="failed")

        with capture_logs() as lines:
            found = list(audit(Job.objects.all()))

        price = job.credits
        assert found == [Discrepancy(str(job.id), "failed", (("release", price),), (("capture", price),))]
        assert [line["event"] for line in lines if line["log_level"] == "error"] == ["ledger_disagrees"]

    def test_finds_a_job_that_completed_and_was_not_charged(self, world: World, rich: Account) -> None:
        job = done(world, rich)
        LedgerEntry.objects.filter(reference=str(job.id), kind=Kind.CAPTURE)._raw_delete("default")

        assert [(each.job_id, each.found) for each in audit(Job.objects.all())] == [(str(job.id), ())]

    def test_looks_at_more_jobs_than_it_asks_for_at_once(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobs.audit._CHUNK", 2)
        jobs = [done(world, rich) for _ in range(5)]
        Job.objects.update(status="cancelled")

        assert {each.job_id for each in audit(Job.objects.all())} == {str(job.id) for job in jobs}


class TestAJobThatIsSettledTwice:
    def test_is_found_where_the_database_has_lost_what_refuses_it(self, world: World, rich: Account) -> None:
        job = done(world, rich)
        with pytest.raises(AlreadySettled):
            billing.services.release(reference=str(job.id), now=NOW)
        with connection.cursor() as cursor:
            # As a careless restore might; the test's transaction brings it back.
            cursor.execute("DROP INDEX billing_ledger_one_outcome")
        entry = LedgerEntry.objects.get(reference=str(job.id), kind=Kind.CAPTURE)
        LedgerEntry(
            account=entry.account,
            kind=Kind.RELEASE,
            amount=entry.amount,
            change=entry.amount,
            held_change=-entry.amount,
            reference=entry.reference,
        ).save()

        (found,) = audit(Job.objects.all())

        assert found.found == (("capture", job.credits), ("release", job.credits))


class TestAJobThatIsChargedTwice:
    @pytest.mark.postgres
    def test_is_found_on_postgresql_without_its_constraints(self, postgres: object, world: World) -> None:
        account = Account.objects.create(name="Charged")
        billing.services.grant(account=account, credits=100, reference="test", now=NOW)
        job, well = done(world, account), done(world, account)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE billing_ledgerentry DROP CONSTRAINT billing_ledger_one_of_a_kind")
            cursor.execute("DROP INDEX billing_ledger_one_outcome")
        entry = LedgerEntry.objects.get(reference=str(job.id), kind=Kind.CAPTURE)
        entry.pk, entry._state.adding = None, True
        entry.save()

        (found,) = audit(Job.objects.all())

        assert found.job_id != str(well.id)
        assert found.found == (("capture", job.credits), ("capture", job.credits))


class TestASweep:
    def test_audits_what_ended_lately_and_says_so(self, world: World, rich: Account) -> None:
        sweeper = Sweeper(
            service=world.service, uploads=world.uploads, max_attempts=5, republish_after=timedelta(minutes=10)
        )
        job = done(world, rich)
        Job.objects.filter(id=job.id).update(status="failed")

        lately = sweeper.sweep(now=world.clock.pass_(minutes=9))
        later = sweeper.sweep(now=world.clock.pass_(minutes=2))

        assert (lately.disagreeing, later.disagreeing) == (1, 0)


class TestTheCommand:
    def test_says_that_all_agrees(self, world: World, rich: Account, capsys: pytest.CaptureFixture[str]) -> None:
        done(world, rich)

        call_command("audit_ledger")

        assert capsys.readouterr().out == "The ledger, the jobs and the balances agree.\n"

    def test_names_each_job_and_each_balance_that_is_wrong_and_fails(
        self, world: World, rich: Account, capsys: pytest.CaptureFixture[str]
    ) -> None:
        job = done(world, rich)
        Job.objects.filter(id=job.id).update(status="cancelled")
        CreditBalance.objects.update(credits=7)

        with pytest.raises(SystemExit, match="1"):
            call_command("audit_ledger")

        said = capsys.readouterr().out
        assert f"job {job.id} cancelled: expected release {job.credits}, found capture {job.credits}" in said
        assert f"account {rich.name}" in said
        assert "2 discrepancies." in said
        assert billing.services.balance(rich).available == 7

    def test_looks_no_further_back_than_it_is_told(
        self, world: World, rich: Account, capsys: pytest.CaptureFixture[str]
    ) -> None:
        job = done(world, rich)
        Job.objects.filter(id=job.id).update(status="cancelled", completed_at=NOW - timedelta(days=900))

        call_command("audit_ledger", "--since", "7d")

        assert "agree" in capsys.readouterr().out
