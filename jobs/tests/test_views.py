from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

import billing.services
from jobs.models import Job
from jobs.tests.conftest import NOW, World, png

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.test import Client

    from accounts.models import Account, User


NOBODYS = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def browser(client: Client, alice: User, rich: Account, adapted: World) -> Client:
    """Alice's browser, signed in."""
    client.force_login(alice)
    return client


@pytest.fixture
def strangers_browser(charlie: User) -> Client:
    from django.test import Client

    client = Client()
    client.force_login(charlie)
    return client


def send(browser: Client, operation: str = "upscale", **fields: Any) -> HttpResponse:
    headers = fields.pop("headers", {})
    fields.setdefault("image", SimpleUploadedFile("holiday.png", png(), "image/png"))
    return browser.post(f"/submit/{operation}/", {**fields}, headers=headers)  # type: ignore[return-value]


def nothing_is_left(world: World, account: Account) -> bool:
    return not Job.objects.exists() and not world.images.objects and billing.services.balance(account).held == 0


class TestEveryPage:
    @pytest.mark.parametrize("path", ["/", "/jobs/", f"/jobs/{NOBODYS}/"])
    def test_asks_a_stranger_to_sign_in(self, client: Client, db: None, path: str) -> None:
        answer = client.get(path)

        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/?next=")

    @pytest.mark.parametrize("path", ["/submit/upscale/", f"/jobs/{NOBODYS}/cancel/"])
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
        assert "You have 100 credits" in page

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

    def test_tells_a_script_where_the_job_is(self, browser: Client) -> None:
        answer = send(browser, headers={"Accept": "application/json"})

        assert answer.status_code == 201
        assert answer.json() == {"url": f"/jobs/{Job.objects.get().id}/"}

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
            ({"image": SimpleUploadedFile("a.png", b"<svg onload=alert(1)>")}, 400, "not an image we can read"),
            ({"image": SimpleUploadedFile("a.png", png()[:60])}, 400, "ends too early"),
            ({"image": SimpleUploadedFile("a.png", b"")}, 400, "empty"),
            ({"image": SimpleUploadedFile("a.png", png(31, 40))}, 400, "31 x 40"),
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

        assert 'aria-invalid="true" aria-describedby="field-scale-error"' in page
        assert '<small class="problem" id="field-scale-error">' in page

    def test_says_when_credits_are_short(self, client: Client, alice: User, adapted: World) -> None:
        client.force_login(alice)

        answer = send(client)

        assert answer.status_code == 402
        assert nothing_is_left(adapted, alice.account)

    def test_answers_a_script_with_the_code_and_the_fields(self, browser: Client) -> None:
        answer = send(browser, scale="3", headers={"Accept": "application/json"})

        assert answer.status_code == 422
        assert answer.json()["code"] == "invalid_parameters"
        assert answer.json()["errors"] == {"scale": ["'3' is not one of 2, 4."]}

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
        assert "fake 1" in page
        assert "http-equiv" not in page

    def test_says_what_was_asked_for_zero_included(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich, values={"seed": "0", "scale": "2"})

        page = browser.get(f"/jobs/{job.id}/").content.decode()

        assert "scale 2, seed 0, engine auto" in page
        assert "reproducible" not in page
        assert "charged only if the job completes" in page

    def test_is_not_there_for_anybody_else(self, strangers_browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)

        assert strangers_browser.get(f"/jobs/{job.id}/").status_code == 404
        assert strangers_browser.post(f"/jobs/{job.id}/cancel/").status_code == 404
        assert adapted.state(job).status.value == "queued"

    def test_writes_what_people_typed_as_text(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich, filename="<img src=x onerror=alert(1)>.png")

        for path in (f"/jobs/{job.id}/", "/jobs/"):
            assert b"<img src=x" not in browser.get(path).content


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


class TestTheList:
    def test_is_empty_at_first_and_says_how_to_begin(self, browser: Client) -> None:
        assert b"No jobs yet" in browser.get("/jobs/").content

    def test_shows_ones_own_jobs_only_newest_first(
        self, browser: Client, adapted: World, rich: Account, charlie: User
    ) -> None:
        billing.services.grant(account=charlie.account, credits=10, reference="charlie", now=NOW)
        adapted.submit(charlie.account, filename="secret.png")
        adapted.submit(rich, filename="old.png")
        adapted.clock.pass_(seconds=1)
        adapted.submit(rich, filename="new.png")

        page = browser.get("/jobs/").content.decode()

        assert page.index("new.png") < page.index("old.png")
        assert "secret.png" not in page

    def test_filters_and_turns_pages(self, browser: Client, adapted: World, rich: Account) -> None:
        for number in range(26):
            adapted.submit(rich, filename=f"photo-{number}.png")
        adapted.submit(rich, "background_remove", filename="cut.png")

        first = browser.get("/jobs/?operation=upscale").content.decode()
        second = browser.get("/jobs/?operation=upscale&page=2").content.decode()
        none = browser.get("/jobs/?status=completed").content.decode()

        assert first.count("data-job=") == 24
        assert "operation=upscale&amp;page=2" in first
        assert second.count("data-job=") == 2
        assert "cut.png" not in first + second
        assert "No job fits." in none


class TestAFile:
    def test_that_was_never_signed_or_is_gone_is_not_found(self, client: Client, db: None) -> None:
        assert client.get("/files/nonsense").status_code == 404
