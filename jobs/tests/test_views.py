from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

import billing.services
from jobs.models import Job
from jobs.tests.conftest import MADE, World, png

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.test import Client

    from accounts.models import Account, User


NOBODYS = "00000000-0000-4000-8000-000000000000"


def send(browser: Client, operation: str = "upscale", **fields: Any) -> HttpResponse:
    headers = fields.pop("headers", {})
    fields.setdefault("image", SimpleUploadedFile("holiday.png", png(), "image/png"))
    return browser.post(f"/submit/{operation}/", {**fields}, headers=headers)  # type: ignore[return-value]


def nothing_is_left(world: World, account: Account) -> bool:
    return not Job.objects.exists() and not world.images.objects and billing.services.balance(account).held == 0


class TestEveryPage:
    @pytest.mark.parametrize("path", ["/", "/jobs/", f"/jobs/{NOBODYS}/", f"/jobs/{NOBODYS}/thumbnail.jpg"])
    def test_asks_a_stranger_to_sign_in(self, client: Client, db: None, path: str) -> None:
        answer = client.get(path)

        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/?next=")

    @pytest.mark.parametrize("path", ["/submit/upscale/", f"/jobs/{NOBODYS}/cancel/", f"/jobs/{NOBODYS}/again/"])
    def test_changes_nothing_for_a_stranger(self, client: Client, db: None, path: str) -> None:
        assert client.post(path).status_code == 302

    @pytest.mark.parametrize(
        ("path", "back"),
        [
            ("/submit/background_remove/", "/%3Foperation%3Dbackground_remove"),
            ("/submit/nonsense/", "/"),
            (f"/jobs/{NOBODYS}/cancel/", f"/jobs/{NOBODYS}/"),
        ],
    )
    def test_leads_who_signs_in_again_to_a_page_and_not_to_a_form(
        self, client: Client, db: None, path: str, back: str
    ) -> None:
        assert client.post(path)["Location"] == f"/accounts/login/?next={back}"

    def test_has_no_inline_script_or_style(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)

        for path in ("/", "/jobs/", f"/jobs/{job.id}/"):
            page = browser.get(path).content.decode()
            assert "<style" not in page
            assert " style=" not in page
            assert " onclick=" not in page
            assert "<script>" not in page


class TestTheForm:
    def test_is_drawn_from_the_operations_definition(self, browser: Client) -> None:
        page = browser.get("/?operation=background_remove").content.decode()

        for name in ("bg_color", "crop", "channels", "format", "quality", "metadata", "seed"):
            assert f'name="{name}"' in page
        assert 'name="scale"' not in page
        assert 'max="4294967295"' in page

    def test_says_price_and_balance(self, browser: Client) -> None:
        page = browser.get("/").content.decode()

        assert "Costs 1 credit, and 1 credit for every 4 megapixels of the result" in page
        assert 'data-credits="100"' in page

    def test_has_the_figures_that_a_script_reckons_the_price_from(self, browser: Client) -> None:
        page = browser.get("/").content.decode()

        assert 'data-base="1" data-counted="output" data-step-pixels="4000000"' in page
        assert 'value="2" data-grows="4"' in page
        assert 'value="4" data-grows="16" checked' in page

    def test_has_a_slider_only_where_one_can_stand_for_every_value(self, browser: Client) -> None:
        page = browser.get("/?operation=style_comic").content.decode()

        assert '<input type="range" id="field-strength" name="strength" value="0.6" min="0" max="1" step="0.01"' in page
        # No steps at all are something else than the fewest.
        assert '<input type="number" id="field-steps"' in page

    def test_shows_the_first_operation_for_a_name_nobody_knows(self, browser: Client) -> None:
        assert b'action="/submit/upscale/"' in browser.get("/?operation=nonsense").content


class TestSubmit:
    def test_makes_a_job_and_shows_it(self, browser: Client, adapted: World) -> None:
        answer = send(browser, scale="2", seed="7", prompt="")

        job = Job.objects.get()
        assert answer.status_code == 302
        assert answer["Location"] == f"/jobs/{job.id}/"
        assert (job.params["scale"], job.params["seed"]) == (2, 7)
        assert adapted.queue.published == [(job.id, "upscale")]

    def test_twice_with_the_same_form_makes_one_job(self, browser: Client, rich: Account) -> None:
        answers = [send(browser, idempotency_key="form-1") for _ in range(3)]

        assert len({answer["Location"] for answer in answers}) == 1
        assert Job.objects.count() == 1

    def test_reads_an_unchecked_box_as_off(self, browser: Client) -> None:
        send(browser, "background_remove")

        assert Job.objects.get().params["crop"] is False

    @pytest.mark.parametrize(
        ("fields", "status", "sentence"),
        [
            ({"scale": "3"}, 422, "&#x27;3&#x27; is not one of 2, 4."),
            ({"seed": "-1"}, 422, "is outside 0 to"),
            ({"colour": "red"}, 422, "Some parameters are not right: colour."),
            ({"image": SimpleUploadedFile("a.png", b"<svg onload=alert(1)>")}, 415, "not an image we can read"),
            ({"image": SimpleUploadedFile("a.png", png()[:60])}, 415, "ends too early"),
            ({"image": SimpleUploadedFile("a.png", b"")}, 400, "empty"),
            ({"image": SimpleUploadedFile("a.png", png(31, 40))}, 422, "31 x 40"),
            ({"image": "text"}, 400, "Send the photo"),
            ({"other": SimpleUploadedFile("b.png", png())}, 400, "one photo per request"),
        ],
    )
    def test_shows_what_is_wrong_and_keeps_what_was_typed(
        self, browser: Client, adapted: World, rich: Account, fields: dict[str, Any], status: int, sentence: str
    ) -> None:
        answer = send(browser, **{"prompt": "a red boat", **fields})

        page = answer.content.decode()
        assert answer.status_code == status
        assert sentence in page
        assert "a red boat" in page
        assert nothing_is_left(adapted, rich)

    def test_ties_a_sentence_to_its_field(self, browser: Client) -> None:
        page = send(browser, scale="3").content.decode()

        assert 'id="field-scale" role="radiogroup" aria-invalid="true" aria-describedby="field-scale-error"' in page
        assert '<small class="problem" id="field-scale-error">' in page

    def test_says_when_credits_are_short(self, client: Client, alice: User, adapted: World) -> None:
        client.force_login(alice)

        answer = send(client)

        assert answer.status_code == 402
        assert nothing_is_left(adapted, alice.account)

    def test_knows_only_operations_that_exist(self, browser: Client) -> None:
        assert send(browser, "nonsense").status_code == 404

    def test_needs_the_token_of_its_own_form(self, alice: User, rich: Account, adapted: World) -> None:
        from django.test import Client

        careful = Client(enforce_csrf_checks=True)
        careful.force_login(alice)

        assert send(careful).status_code == 403
        assert nothing_is_left(adapted, rich)


class TestAJobsPage:
    def test_of_a_waiting_job_reloads_itself_without_scripts(
        self, browser: Client, adapted: World, rich: Account
    ) -> None:
        job = adapted.submit(rich)

        page = browser.get(f"/jobs/{job.id}/").content.decode()

        assert '<noscript><meta http-equiv="refresh"' in page
        assert "holiday.png" in page
        assert f"/jobs/{job.id}/cancel/" in page

    def test_of_a_finished_one_has_the_result_and_what_was_done(
        self, browser: Client, adapted: World, rich: Account
    ) -> None:
        job = adapted.submit(rich)
        adapted.runner.run(job.id)

        page = browser.get(f"/jobs/{job.id}/").content.decode()

        assert "holiday-upscale.png" in page
        assert "http-equiv" not in page
        for row in MADE:
            assert row in page

    def test_of_an_older_one_says_what_its_engine_warned_of(
        self, browser: Client, adapted: World, rich: Account
    ) -> None:
        job = adapted.submit(rich)
        adapted.runner.run(job.id)
        Job.objects.filter(id=job.id).update(
            outcome={"engine": {"name": "light", "version": "2", "warnings": ["The steps were not used."]}}
        )

        page = browser.get(f"/jobs/{job.id}/").content.decode()

        assert "<li>The steps were not used.</li>" in page
        assert "<dt>Engine</dt><dd>light 2</dd>" in page
        assert "<dt>Device</dt>" not in page

    def test_of_one_that_has_not_begun_says_nothing_of_its_making(
        self, browser: Client, adapted: World, rich: Account
    ) -> None:
        page = browser.get(f"/jobs/{adapted.submit(rich).id}/").content.decode()

        assert "<dt>Engine</dt>" not in page
        assert "<dt>Seconds in all</dt>" not in page

    def test_says_what_was_asked_for_zero_included(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich, values={"seed": "0", "scale": "2"})

        page = browser.get(f"/jobs/{job.id}/").content.decode()

        assert "scale 2, seed 0, engine auto" in page
        assert "reproducible" not in page
        assert "charged only if the job completes" in page

    def test_names_the_settings_that_were_chosen_or_asked_for_and_no_default(
        self, browser: Client, adapted: World, rich: Account
    ) -> None:
        job = adapted.submit(rich, values={"scale": "2"})
        adapted.runner.run(job.id)
        used = {"scale": 2, "format": "auto", "metadata": "strip", "seed": 7, "steps": 30, "scheduler": "DPM"}
        Job.objects.filter(id=job.id).update(outcome={"engine": {"name": "light", "parameters": used}})

        page = browser.get(f"/jobs/{job.id}/").content.decode()

        assert "<dt>Settings used</dt><dd>scale 2, seed 7, steps 30, scheduler DPM</dd>" in page

    def test_says_after_the_end_what_was_charged(self, browser: Client, adapted: World, rich: Account) -> None:
        completed, cancelled = adapted.submit(rich), adapted.submit(rich)
        adapted.runner.run(completed.id)
        adapted.service.cancel(cancelled, now=adapted.clock())

        paid, free = (browser.get(f"/jobs/{job.id}/").content.decode() for job in (completed, cancelled))

        assert "<dt>Credits</dt><dd>2 credits were charged</dd>" in paid
        assert "<dt>Credits</dt><dd>not charged</dd>" in free

    def test_is_not_there_for_anybody_else(self, strangers_browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)

        assert strangers_browser.get(f"/jobs/{job.id}/").status_code == 404
        assert strangers_browser.post(f"/jobs/{job.id}/cancel/").status_code == 404
        assert adapted.state(job).status.value == "queued"

    def test_writes_what_people_typed_as_text(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich, filename="<img src=x onerror=alert(1)>.png")

        for path in (f"/jobs/{job.id}/", "/jobs/"):
            assert b"<img src=x" not in browser.get(path).content


class TestAJobOfAnOperationThatIsNoMore:
    @pytest.fixture
    def old(self, adapted: World, rich: Account) -> Job:
        job = adapted.submit(rich)
        adapted.runner.run(job.id)
        Job.objects.filter(id=job.id).update(operation="sharpen")
        return job

    def test_is_still_shown(self, browser: Client, old: Job) -> None:
        assert b"sharpen" in browser.get(f"/jobs/{old.id}/").content
        assert b"sharpen" in browser.get("/jobs/").content

    def test_is_not_run_again(self, browser: Client, old: Job) -> None:
        answer = browser.post(f"/jobs/{old.id}/again/", {"idempotency_key": "k"})

        assert answer.status_code == 422
        assert Job.objects.count() == 1


class TestCancel:
    def test_ends_the_job_and_twice_is_harmless(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)

        answers = [browser.post(f"/jobs/{job.id}/cancel/") for _ in range(2)]

        assert [answer["Location"] for answer in answers] == [f"/jobs/{job.id}/"] * 2
        assert adapted.state(job).status.value == "cancelled"
        assert billing.services.balance(rich).available == 100

    def test_of_a_finished_job_says_that_it_is_too_late(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)
        adapted.runner.run(job.id)

        page = browser.post(f"/jobs/{job.id}/cancel/", follow=True).content.decode()

        assert "only a queued or processing job can be cancelled" in page

    def test_is_not_done_by_a_link(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)

        assert browser.get(f"/jobs/{job.id}/cancel/").status_code == 405


class TestTheMenu:
    def test_says_which_page_this_is(self, browser: Client) -> None:
        assert '<a href="/jobs/" aria-current="page">' in browser.get("/jobs/").content.decode()

    def test_shows_the_admin_to_staff_only(self, browser: Client, client: Client, olga: User) -> None:
        others = browser.get("/").content.decode()
        client.force_login(olga)
        operators = client.get("/").content.decode()

        assert ">Admin</a>" not in others
        assert '<a href="/admin/">Admin</a>' in operators


class TestAFile:
    def test_that_was_never_signed_or_is_gone_is_not_found(self, client: Client, db: None) -> None:
        assert client.get("/files/nonsense").status_code == 404
