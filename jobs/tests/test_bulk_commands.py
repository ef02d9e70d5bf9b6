from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

import billing.services
from jobs import adapters
from jobs.bulk.selection import WORTH_A_RETRY
from jobs.errors import Unavailable
from jobs.models import Job
from jobs.sweep import Sweeper
from jobs.tests.conftest import World, png

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from accounts.models import Account

    Tell = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def now_is_real(adapted: World) -> World:
    adapted.clock.now = timezone.now() - timedelta(hours=1)
    return adapted


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Call a command and return its summary, with its exit code and what it said on standard error."""

    def tell(*arguments: str) -> dict[str, Any]:
        code: object = 0
        try:
            call_command(*arguments, "--json")
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return {**json.loads(printed.out), "exit": code, "said": printed.err}

    return tell


def done(world: World, account: Account, *operations: str, **failure: str) -> list[Job]:
    """Submit a job of each operation and end it."""
    jobs = [world.submit(account, name, content=png(64 + n)) for n, name in enumerate(operations or ("upscale",))]
    for job in jobs:
        if failure:
            state, version = world.states.read(job.id)
            world.states.write(state.fail(now=world.clock(), message="It broke.", **failure), expected=version)
            world.service.settle(job.id, now=world.clock())
        else:
            world.runner.run(job.id)
    return jobs


def children() -> list[Job]:
    return list(Job.objects.exclude(parent=None))


class TestReprocess:
    def test_makes_another_operation_of_what_fits(self, adapted: World, rich: Account, tell: Tell) -> None:
        upscaled, _ = done(adapted, rich, "upscale", "enhance")

        told = tell(
            "reprocess",
            *("--operation", "upscale", "--account", "alice@example.com", "--since", "7d"),
            *("--operation-to", "style_comic", "--set", "strength=0.9"),
        )

        (child,) = children()
        assert (child.parent_id, child.operation, child.params["strength"]) == (upscaled.id, "style_comic", 0.9)
        assert (told["made"], told["credits"], told["exit"]) == (1, child.credits, 0)

    def test_goes_on_under_the_name_that_its_arguments_make(self, adapted: World, rich: Account, tell: Tell) -> None:
        done(adapted, rich, "upscale", "enhance")
        first = tell("reprocess", "--all", "--limit", "1")

        second = tell("reprocess", "--all", "--rate", "100/s")
        third = tell("reprocess", "--all", "--operation-to", "enhance")

        assert first["run"] == second["run"] != third["run"]
        assert (second["made"], second["made_before"]) == (1, 1)

    def test_in_a_dry_run_says_what_it_would_do_and_changes_nothing(
        self, adapted: World, rich: Account, tell: Tell
    ) -> None:
        jobs = done(adapted, rich, "upscale", "enhance", "enhance")
        Job.objects.filter(id=jobs[0].id).update(purged_at=timezone.now())
        before = billing.services.balance(rich)

        told = tell("reprocess", "--all", "--dry-run")

        assert told["operations"] == {"enhance": 2}
        assert told["megapixels"] == pytest.approx((65 + 66) * 48 / 1e6)
        assert told["accounts"] == {str(rich.pk): 4}
        assert told["skipped"] == {"image_gone": 1}
        assert (children(), billing.services.balance(rich)) == ([], before)

    def test_names_the_ids_that_are_no_jobs(self, adapted: World, rich: Account, tell: Tell, tmp_path: Path) -> None:
        (job,) = done(adapted, rich)
        (tmp_path / "ids").write_text(f"{job.id}\n{uuid4()}\n")

        told = tell("reprocess", "--ids-from", str(tmp_path / "ids"))

        assert (told["made"], told["skipped"]) == (1, {"no_such_job": 1})

    @pytest.mark.parametrize("command", ["reprocess", "retry_failed"])
    def test_names_them_before_anything_is_done_too(
        self, adapted: World, rich: Account, tell: Tell, command: str
    ) -> None:
        told = tell(command, str(uuid4()), "--dry-run")

        assert (told["jobs"], told["skipped"]) == (0, {"no_such_job": 1})

    def test_stops_at_a_line_that_is_no_id(self, adapted: World, rich: Account, tell: Tell, tmp_path: Path) -> None:
        (job,) = done(adapted, rich)
        (tmp_path / "ids").write_text(f"{job.id}\nnonsense\n")

        told = tell("reprocess", "--ids-from", str(tmp_path / "ids"))

        assert (told["exit"], told["broken_off"]) == (1, "Line 2 begins with 'nonsense', which is no job's id.")

    def test_ends_with_1_when_some_failed_and_says_how_to_go_on(
        self, adapted: World, rich: Account, tell: Tell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done(adapted, rich)

        def away(_path: str) -> bytes:
            raise Unavailable("The image store does not answer.")

        monkeypatch.setattr(adapted.images, "read", away)
        monkeypatch.setattr("jobs.bulk.outages.PATIENCE_SECONDS", 0.0)

        told = tell("reprocess", "--all")

        assert told["exit"] == 1
        assert f"To go on: manage.py reprocess --run {told['run']}" in told["said"]

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            ([], "give a filter"),
            (["--all", "--operation-to", "enhance", "--set", "strength=7"], "strength: 7.0 is outside 0 to 1"),
            (["--all", "--operation-to", "enhance", "--set", "strength"], "NAME=VALUE"),
            (["--account", "nobody@example.com"], "no account"),
            (["--since", "yesterday"], "neither a date"),
            (["--all", "--rate", "fast"], "not a rate"),
            (["--all", "--rate", "0/s"], "not a rate"),
            (["--all", "--max-queued", "0"], "whole number above 0"),
            (["--all", "--run", "a b"], "not a name"),
            (["--ids-from", "missing.txt"], "no file missing.txt"),
            (["not-an-id"], "'not-an-id' is no job's id"),
        ],
    )
    def test_refuses_what_it_does_not_understand(self, rich: Account, arguments: list[str], sentence: str) -> None:
        with pytest.raises(CommandError, match=sentence):
            call_command("reprocess", *arguments)


class TestRetryFailed:
    def test_retries_what_failed_through_our_fault_alone(self, adapted: World, rich: Account, tell: Tell) -> None:
        ours = [job for code in WORTH_A_RETRY for job in done(adapted, rich, code=code)]
        for code in ("unreadable_image", "invalid_parameter", "unknown_engine", "engine_unavailable"):
            done(adapted, rich, code=code)
        done(adapted, rich)

        told = tell("retry_failed", "--max-queued", "100")

        assert {child.parent_id for child in children()} == {job.id for job in ours}
        assert told["exit"] == 0

    def test_retries_what_asked_for_an_engine_that_was_missing_when_told_to(
        self, adapted: World, rich: Account, tell: Tell
    ) -> None:
        (job,) = done(adapted, rich, code="engine_unavailable")

        tell("retry_failed", "--error-code", "engine_unavailable")

        assert [child.parent_id for child in children()] == [job.id]

    def test_retries_the_photos_own_fault_when_asked(self, adapted: World, rich: Account, tell: Tell) -> None:
        (job,) = done(adapted, rich, code="unreadable_image")

        tell("retry_failed", "--any-error")

        assert [child.parent_id for child in children()] == [job.id]

    def test_leaves_a_job_alone_that_succeeded_at_its_second_try(
        self, adapted: World, rich: Account, tell: Tell
    ) -> None:
        (job,) = done(adapted, rich, code="internal")
        adapted.runner.run(adapted.service.rerun(job, now=adapted.clock()).id)

        assert tell("retry_failed")["made"] == 0

    def test_does_not_try_for_ever_what_fails_again(self, adapted: World, rich: Account, tell: Tell) -> None:
        done(adapted, rich, code="internal")
        tell("retry_failed")
        (child,) = children()
        state, version = adapted.states.read(child.id)
        adapted.states.write(state.fail(now=timezone.now(), code="internal", message="Again."), expected=version)
        adapted.service.settle(child.id, now=timezone.now())

        told = tell("retry_failed")

        assert (told["made"], told["made_before"]) == (0, 1)


class TestImportFolder:
    def test_imports_for_an_account_and_stays_out_of_the_results(
        self, adapted: World, rich: Account, tell: Tell, tmp_path: Path
    ) -> None:
        (tmp_path / "a.png").write_bytes(png())

        told = tell(
            "import_folder", str(tmp_path), "--account", "alice's prints", "--operation", "enhance", "--set", "seed=7"
        )

        job = Job.objects.get()
        assert (job.account, job.operation, job.params["seed"], told["made"]) == (rich, "enhance", 7, 1)

    @pytest.mark.parametrize(
        ("folder", "more", "sentence"),
        [
            ("missing", [], "There is no folder"),
            ("", ["--output-dir", "."], "another folder"),
            ("", ["--set", "scale=2"], "scale: enhance has no such parameter"),
        ],
    )
    def test_refuses_what_cannot_be_meant(
        self,
        rich: Account,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        folder: str,
        more: list[str],
        sentence: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)

        with pytest.raises(CommandError, match=sentence):
            call_command(
                "import_folder",
                str(tmp_path / folder),
                "--account",
                "alice@example.com",
                "--operation",
                "enhance",
                *more,
            )


class TestPurgeExpired:
    @pytest.fixture
    def expired(self, adapted: World, rich: Account, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
        sweeper = Sweeper(adapted.service, adapted.uploads, max_attempts=5, republish_after=timedelta(minutes=10))
        monkeypatch.setattr(adapters, "sweeper", lambda: sweeper)
        jobs = done(adapted, rich, "upscale", "enhance")
        Job.objects.update(expires_at=timezone.now() - timedelta(days=1))
        done(adapted, rich)
        return jobs

    def test_deletes_the_photos_of_expired_jobs_alone(
        self, adapted: World, expired: list[Job], capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("purge_expired")

        assert Job.objects.filter(purged_at=None).count() == 1
        # The photo and the result of the one that is kept.
        assert len(adapted.images.objects) == 2
        assert "Deleted the photos of 2 jobs; 0 could not be deleted." in capsys.readouterr().out

    def test_in_a_dry_run_only_counts(
        self, adapted: World, expired: list[Job], capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("purge_expired", "--dry-run")

        assert len(adapted.images.objects) == 6
        assert "of 2 expired jobs" in capsys.readouterr().out

    def test_goes_past_what_cannot_be_deleted_and_ends_with_1(
        self,
        adapted: World,
        expired: list[Job],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        delete = adapted.images.delete_job

        def refuse_one(job_id: object) -> None:
            if job_id == expired[0].id:
                raise Unavailable("away")
            delete(expired[1].id)

        monkeypatch.setattr(adapted.images, "delete_job", refuse_one)

        with pytest.raises(SystemExit) as end:
            call_command("purge_expired")

        assert end.value.code == 1
        assert "of 1 jobs; 1 could not" in capsys.readouterr().out
