"""What an operator does with jobs: cancel, run again; and what is noted of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from structlog.testing import capture_logs

import billing.services
from accounts.models import Account, User
from jobs.errors import Unavailable
from jobs.models import Job
from jobs.states import JobStatus
from jobs.tests.conftest import NOW, World
from jobs.tests.operating import JOBS, act, page_of, said, staff

if TYPE_CHECKING:
    from django.test import Client


class TestCancel:
    def test_asks_before_it_does_anything(self, operator: Client, jobs: list[Job], adapted: World) -> None:
        answer = act(operator, "cancel", jobs[0], jobs[1])

        assert "Cancel 2 jobs?" in answer.content.decode()
        assert adapted.state(jobs[0]).status is JobStatus.QUEUED

    def test_cancels_gives_credits_back_and_says_each_refusal(
        self, operator: Client, jobs: list[Job], adapted: World, rich: Account, olga: User
    ) -> None:
        queued, running, completed, _ = jobs

        answer = act(operator, "cancel", queued, running, completed, confirmed="x")

        assert [adapted.state(job).status for job in (queued, running)] == [JobStatus.CANCELLED] * 2
        assert billing.services.balance(rich).held == 0
        refusal = "1 job not cancelled: The job is completed; only a queued or processing job can be cancelled."
        assert said(answer) == ["2 jobs cancelled.", f"{refusal} ({str(completed.id)[:8]})"]
        assert set(LogEntry.objects.filter(user=olga).values_list("object_id", "change_message")) == {
            (str(queued.id), "Cancelled."),
            (str(running.id), "Cancelled."),
        }

    def test_twice_changes_nothing_more(self, operator: Client, jobs: list[Job], rich: Account) -> None:
        act(operator, "cancel", jobs[0], confirmed="x")
        before = billing.services.balance(rich)

        act(operator, "cancel", jobs[0], confirmed="x")

        assert billing.services.balance(rich) == before

    def test_is_not_for_staff_who_may_only_look(self, jobs: list[Job], charlie: User, adapted: World) -> None:
        looking = staff(charlie.account, "view_job")

        answer = act(looking, "cancel", jobs[0], confirmed="x")

        assert answer.status_code == 200
        assert adapted.state(jobs[0]).status is JobStatus.QUEUED
        assert "Cancel…" not in looking.get(page_of(jobs[0])).content.decode()

    def test_of_what_is_no_id_is_refused_in_a_sentence(self, operator: Client, db: None) -> None:
        answer = operator.post(JOBS, {"action": "cancel", "_selected_action": "' OR 1=1"}, follow=True)

        assert said(answer) == ["These rows are not there any more."]


class TestRunAgain:
    def test_makes_a_new_job_that_its_account_pays_and_leads_there(
        self, operator: Client, jobs: list[Job], rich: Account
    ) -> None:
        completed, held = jobs[2], billing.services.balance(rich).held

        answer = act(operator, "run_again", completed, confirmed="x", back="job")

        again = completed.children.get()
        assert again.params == completed.params
        assert billing.services.balance(rich).held == held + again.credits
        assert answer.redirect_chain[-1][0] == page_of(again)
        assert said(answer) == ["1 job run again."]

    def test_by_a_double_click_makes_one(self, operator: Client, jobs: list[Job]) -> None:
        token = act(operator, "run_again", jobs[2]).context["question"].token

        for _ in range(2):
            act(operator, "run_again", jobs[2], confirmed=token)

        assert jobs[2].children.count() == 1

    def test_by_another_click_later_makes_another(self, operator: Client, jobs: list[Job]) -> None:
        for _ in range(2):
            token = act(operator, "run_again", jobs[2]).context["question"].token
            act(operator, "run_again", jobs[2], confirmed=token)

        assert jobs[2].children.count() == 2

    def test_passes_over_the_quota_of_the_account(self, operator: Client, jobs: list[Job], rich: Account) -> None:
        Account.objects.filter(pk=rich.pk).update(max_unfinished_jobs=1)

        act(operator, "run_again", jobs[2], confirmed="x")

        assert jobs[2].children.count() == 1

    def test_without_credits_or_photo_is_refused_in_sentences(
        self, operator: Client, jobs: list[Job], rich: Account, adapted: World
    ) -> None:
        _, running, completed, cancelled = jobs
        del adapted.images.objects[cancelled.input_path]
        left = billing.services.balance(rich).available
        billing.services.hold(account=rich, credits=left, reference="spent", now=NOW)

        answer = act(operator, "run_again", completed, cancelled, confirmed="x")

        assert Job.objects.count() == 4
        price = running.credits
        assert sorted(said(answer)) == [
            f"1 job not run again: The image is no longer stored. ({str(cancelled.id)[:8]})",
            f"1 job not run again: This needs {price} credits and the account has 0. ({str(completed.id)[:8]})",
        ]

    def test_of_an_operation_that_is_no_more_is_refused(self, operator: Client, jobs: list[Job]) -> None:
        Job.objects.filter(pk=jobs[2].pk).update(operation="sharpen")

        answer = act(operator, "run_again", jobs[2], confirmed="x")

        assert "no operation sharpen any more" in said(answer)[0]
        assert operator.get(JOBS).status_code == 200


class TestAStateStoreThatIsAway:
    @pytest.fixture(autouse=True)
    def _away(self, adapted: World, jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_arguments: object) -> Any:
            raise Unavailable("The state store does not answer.")

        for name in ("read", "read_many"):
            monkeypatch.setattr(adapted.states, name, away)

    def test_leaves_the_list_and_the_page_with_what_sql_knows(self, operator: Client, jobs: list[Job]) -> None:
        answers = [operator.get(JOBS), operator.get(page_of(jobs[1])), operator.get(f"{JOBS}?status=queued")]

        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert all("The state store does not answer." in answer.content.decode() for answer in answers)

    def test_is_the_reason_why_a_job_is_not_cancelled(self, operator: Client, jobs: list[Job]) -> None:
        answer = act(operator, "cancel", jobs[1], confirmed="x")

        refusal = f"1 job not cancelled: The state store does not answer. ({str(jobs[1].id)[:8]})"
        assert refusal in said(answer)


class TestTheLog:
    def test_says_who_did_what_and_holds_no_link_and_no_photo(self, operator: Client, jobs: list[Job]) -> None:
        # It sets the loggers up anew, and would end the listening half-way.
        importlib.import_module("imagen_site.asgi")

        with capture_logs() as lines:
            operator.get(page_of(jobs[2]))
            act(operator, "run_again", jobs[2], confirmed="x")

        changed = [line for line in lines if line["event"] == "admin_changed"]
        assert [(line["model"], line["object_id"]) for line in changed] == [("jobs.Job", str(jobs[2].id))]
        assert not any(secret in str(lines) for secret in ("/memory/", "city.png", "olga@example.com"))
