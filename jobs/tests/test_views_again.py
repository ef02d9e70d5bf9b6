from __future__ import annotations

from typing import TYPE_CHECKING

import billing.services
from jobs.models import Job
from jobs.tests.conftest import NOW, World

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Account


class TestRunningAgain:
    def test_makes_a_new_job_of_the_same_photo_with_this_one_as_its_parent(
        self, browser: Client, adapted: World, rich: Account
    ) -> None:
        job = adapted.submit(rich, values={"scale": "2", "seed": "7"})

        answer = browser.post(f"/jobs/{job.id}/again/")

        new = Job.objects.exclude(id=job.id).get()
        assert answer["Location"] == f"/jobs/{new.id}/"
        assert (new.parent_id, new.params, new.filename) == (job.id, job.params, job.filename)
        assert f"/jobs/{job.id}/" in browser.get(f"/jobs/{new.id}/").content.decode()
        assert f"/jobs/{new.id}/" in browser.get(f"/jobs/{job.id}/").content.decode()

    def test_twice_with_the_same_form_makes_one_job(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)

        answers = [browser.post(f"/jobs/{job.id}/again/", {"idempotency_key": "form-1"}) for _ in range(2)]

        assert answers[0]["Location"] == answers[1]["Location"]
        assert Job.objects.count() == 2

    def test_takes_other_settings_from_a_form_that_begins_with_the_jobs_own(
        self, browser: Client, adapted: World, rich: Account
    ) -> None:
        job = adapted.submit(rich, values={"scale": "2", "seed": "7"})

        page = browser.get(f"/?operation=upscale&from={job.id}").content.decode()
        browser.post(f"/jobs/{job.id}/again/", {"operation": "upscale", "scale": "4", "seed": "7"})

        assert f'action="/jobs/{job.id}/again/"' in page
        assert 'value="7"' in page
        assert 'value="2" data-grows="4" checked' in page
        assert Job.objects.get(parent=job).params["scale"] == 4

    def test_can_do_something_else_with_the_photo(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)

        browser.post(f"/jobs/{job.id}/again/", {"operation": "enhance", "strength": "0.7"})

        assert Job.objects.get(parent=job).operation == "enhance"

    def test_shows_the_form_again_when_something_is_wrong(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)

        answer = browser.post(f"/jobs/{job.id}/again/", {"operation": "upscale", "scale": "3"})

        assert answer.status_code == 422
        assert f'action="/jobs/{job.id}/again/"' in answer.content.decode()
        assert Job.objects.count() == 1

    def test_says_on_the_jobs_page_that_the_photo_is_gone(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)
        adapted.images.delete_job(job.id)

        answer = browser.post(f"/jobs/{job.id}/again/")

        assert answer.status_code == 404
        assert "The image is no longer stored." in answer.content.decode()

    def test_says_when_credits_are_short_and_where_to_look(
        self, browser: Client, adapted: World, rich: Account
    ) -> None:
        job = adapted.submit(rich)
        billing.services.hold(account=rich, credits=billing.services.balance(rich).available, reference="x", now=NOW)

        answer = browser.post(f"/jobs/{job.id}/again/")

        assert answer.status_code == 402
        assert "/account/credits/" in answer.content.decode().split("<main")[1]

    def test_is_nothing_a_stranger_can_do(self, strangers_browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)

        assert strangers_browser.post(f"/jobs/{job.id}/again/").status_code == 404
        assert strangers_browser.get(f"/?from={job.id}").status_code == 404
        assert Job.objects.count() == 1
