"""Every page of the admin, and those of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Account, ApiKey, User
from billing.models import CreditBalance, LedgerEntry
from jobs.models import Job
from jobs.states import JobStatus, Stage
from jobs.tests.conftest import MADE, NOW, World
from jobs.tests.operating import JOBS, page_of

if TYPE_CHECKING:
    from django.test import Client

NAMES = [f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry]


def pages() -> list[str]:
    lists = [reverse(f"admin:{name}_changelist") for name in NAMES]
    return [*lists, "/admin/", "/admin/accounts/user/add/", "/admin/accounts/account/add/", "/admin/nothing/"]


class TestEveryPage:
    @pytest.mark.parametrize("page", pages())
    def test_sends_a_stranger_to_the_sign_in_of_the_site(self, client: Client, db: None, page: str) -> None:
        answer = client.get(page, follow=True)

        assert answer.redirect_chain[-1][0] == f"/accounts/login/?next={page}"

    @pytest.mark.parametrize("page", pages())
    def test_refuses_a_person_who_is_not_staff(self, client: Client, alice: User, page: str) -> None:
        client.force_login(alice)

        answers = [client.get(page), client.post(page, {"action": "cancel", "_selected_action": str(uuid4())})]

        assert [answer.status_code for answer in answers] == [403, 403]

    @pytest.mark.parametrize("page", pages()[:-1])
    def test_shows_its_rows_to_the_operator(self, operator: Client, jobs: list[Job], page: str) -> None:
        answer = operator.get(page)

        assert answer.status_code == 200

    def test_may_do_what_its_scripts_need_and_pages_outside_may_not(self, operator: Client, adapted: World) -> None:
        inside, outside = operator.get("/admin/"), operator.get("/account/")

        assert "script-src 'self' 'unsafe-eval';" in inside["Content-Security-Policy"]
        assert "unsafe" not in outside["Content-Security-Policy"]

    @pytest.mark.parametrize(
        "model", [Job, LedgerEntry, CreditBalance, ApiKey, User, Account], ids=lambda model: model.__name__
    )
    def test_of_one_row_shows_it_and_no_secret(self, operator: Client, jobs: list[Job], model: Any) -> None:
        answer = operator.get(page_of(model.objects.order_by("pk").first()))

        assert answer.status_code == 200
        assert ApiKey.objects.get().secret_sha256 not in answer.content.decode()

    @pytest.mark.parametrize("model", [Job, LedgerEntry, CreditBalance, ApiKey], ids=lambda model: model.__name__)
    def test_of_a_fact_takes_no_change_no_addition_and_no_deletion(
        self, operator: Client, jobs: list[Job], model: Any
    ) -> None:
        row = model.objects.order_by("pk").first()
        before = list(model.objects.values())
        page = page_of(row)

        answers = [
            operator.post(page, {"credits": 1, "amount": 1, "name": "x"}),
            operator.post(page.replace("change", "delete"), {"post": "yes"}),
            operator.post(f"{page.removesuffix(f'{row.pk}/change/')}add/", {"credits": 1}),
        ]

        assert [answer.status_code for answer in answers] == [403, 403, 403]
        assert list(model.objects.values()) == before


class TestSigningIn:
    def test_leads_the_operator_back_to_where_they_were_going(self, client: Client, olga: User) -> None:
        asked = client.get(JOBS, follow=True)
        form = {"username": olga.email, "password": "correct horse battery"}

        answer = client.post(asked.redirect_chain[-1][0], form)

        assert (answer.status_code, answer["Location"]) == (302, JOBS)


class TestTheList:
    def test_asks_as_many_questions_for_many_jobs_as_for_few(
        self, operator: Client, adapted: World, rich: Account, jobs: list[Job]
    ) -> None:
        operator.get(JOBS)
        with CaptureQueriesContext(connection) as few:
            operator.get(JOBS)
        for number in range(20):
            adapted.submit(rich, filename=f"{number}.png")

        with CaptureQueriesContext(connection) as many:
            operator.get(JOBS)

        assert len(many) == len(few) <= 12
        assert not any("COUNT(*)" in query["sql"] for query in many)

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("status=queued", "beach"),
            ("status=processing", "elk"),
            ("status=completed", "city"),
            ("status=cancelled", "dog"),
            ("status=failed", ""),
            ("operation=enhance", ""),
            ("error=internal", ""),
            ("account__plan__exact=pro", ""),
            ("parent__isempty=1", "beach city dog elk"),
            ("parent__isempty=0", ""),
            ("requested_at_from=2026-03-02", ""),
            ("requested_at_from=2026-03-01&requested_at_to=2026-03-01", "beach city dog elk"),
            ("requested_at_to=2026-02-28", ""),
            ("requested_at_to=2026-02-31", "beach city dog elk"),
            ("q=BEACH", "beach"),
            ("q=Prints", "beach city dog elk"),
            ("q=alice@example", "beach city dog elk"),
            ("q=charlie@example", ""),
        ],
    )
    def test_is_filtered_and_searched(
        self, operator: Client, charlie: User, jobs: list[Job], query: str, names: str
    ) -> None:
        answer = operator.get(f"{JOBS}?{query}")

        assert sorted(job.filename.removesuffix(".png") for job in answer.context["cl"].result_list) == names.split()

    def test_of_one_account_is_where_the_page_of_the_account_leads(
        self, operator: Client, jobs: list[Job], charlie: User, olga: User
    ) -> None:
        for account, number in ((jobs[0].account, 4), (charlie.account, 0)):
            query = f"?account__id__exact={account.pk}"
            assert query in operator.get(page_of(account)).content.decode()
            assert len(operator.get(JOBS + query).context["cl"].result_list) == number

    @pytest.mark.parametrize("digits", [8, 13, 36])
    def test_finds_a_job_and_what_was_made_of_it_by_the_start_of_its_id(
        self, operator: Client, adapted: World, jobs: list[Job], digits: int
    ) -> None:
        _, _, completed, _ = jobs
        again = adapted.service.rerun(completed, now=NOW)

        answer = operator.get(JOBS, {"q": str(completed.id)[:digits]})

        assert set(answer.context["cl"].result_list) == {completed, again}

    def test_filters_by_the_codes_of_what_failed(self, operator: Client, jobs: list[Job]) -> None:
        from django.utils import timezone

        ended = {"settled_at": timezone.now(), "completed_at": timezone.now()}
        Job.objects.filter(pk=jobs[0].pk).update(status=JobStatus.FAILED, error_code="out_of_memory", **ended)

        answer = operator.get(f"{JOBS}?error=out_of_memory")

        assert set(answer.context["cl"].result_list) == {jobs[0]}
        assert "out_of_memory" in operator.get(JOBS).content.decode()


class TestThePageOfAJob:
    def test_tells_its_live_state_its_timeline_and_its_credits(
        self, operator: Client, adapted: World, jobs: list[Job]
    ) -> None:
        running = jobs[1]
        state, version = adapted.states.read(running.id)
        report = state.report(
            now=adapted.clock.pass_(seconds=5), lease=adapted.runner.terms.duration, stage=Stage.INFERRING, fraction=0.5
        )
        adapted.states.write(report, expected=version)

        page = operator.get(page_of(running))

        told = page.context["job_page"]
        assert (told["view"]["status"], told["view"]["progress"]) == ("processing", 49)
        whats = [(event.what, event.after) for event in told["timeline"]]
        assert whats == [("Accepted", 0), ("Downloading", 0), ("Credits: hold", 0), ("Inferring", 5)]
        assert [line.kind for line in told["movements"]] == ["hold"]

    def test_shows_input_and_output_by_signed_links(self, operator: Client, jobs: list[Job]) -> None:
        completed = jobs[2]

        page = operator.get(page_of(completed)).content.decode()

        assert f'src="/memory/{completed.input_path}' in page
        assert f"/memory/outputs/{completed.id}/1/result.png" in page

    def test_tells_how_the_result_was_made(self, operator: Client, jobs: list[Job]) -> None:
        page = operator.get(page_of(jobs[2])).content.decode()

        for row in MADE:
            assert row in page

    def test_tells_how_an_older_result_was_made_and_what_its_engine_warned_of(
        self, operator: Client, jobs: list[Job]
    ) -> None:
        engine = {"name": "light", "seconds": {"decode": 0.1, "infer": 2}, "warnings": ["The steps were not used."]}
        Job.objects.filter(pk=jobs[2].pk).update(outcome={"engine": engine})

        page = operator.get(page_of(jobs[2])).content.decode()

        assert "<dt>Seconds in the model</dt><dd>decode 0.1, infer 2</dd>" in page
        assert "<dt>Warnings</dt><dd>The steps were not used.</dd>" in page
        assert "<dt>Device</dt>" not in page

    def test_of_a_job_that_made_nothing_has_no_such_section(self, operator: Client, jobs: list[Job]) -> None:
        assert "How it was made" not in operator.get(page_of(jobs[3])).content.decode()

    def test_leads_to_its_parent_and_its_children(self, operator: Client, adapted: World, jobs: list[Job]) -> None:
        parent = jobs[2]
        child = adapted.service.rerun(parent, now=NOW)

        assert page_of(child) in operator.get(page_of(parent)).content.decode()
        assert page_of(parent) in operator.get(page_of(child)).content.decode()

    def test_still_tells_what_sql_kept_when_images_and_state_are_deleted(
        self, operator: Client, adapted: World, jobs: list[Job]
    ) -> None:
        completed = jobs[2]
        adapted.states.delete([completed.id])
        Job.objects.filter(pk=completed.pk).update(purged_at=NOW)

        page = operator.get(page_of(completed))

        assert "/memory/" not in page.content.decode()
        whats = [event.what for event in page.context["job_page"]["timeline"]]
        assert {"Accepted", "Completed", "Settled", "Images deleted", "Credits: capture"} <= set(whats)

    def test_of_no_job_leads_back(self, operator: Client, db: None) -> None:
        for job_id in (uuid4(), "no-id"):
            assert operator.get(f"{JOBS}{job_id}/change/").status_code == 302
