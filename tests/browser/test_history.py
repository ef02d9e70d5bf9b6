"""The list of jobs, live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.acting import ENDED, LONG, ON_THE_SITE, listen, wait_to_hear
from tests.running_site import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page

    from tests.running_site import RunningSite

pytestmark = ON_THE_SITE


class TestTheList:
    def test_shows_a_job_that_another_window_sends_live(
        self, page: Page, context: BrowserContext, site: RunningSite, small_photo: Path
    ) -> None:
        job_id = site.submit("upscale", small_photo.read_bytes(), filename="first.jpg")["job_id"]
        page.goto(f"{site.url}/jobs/")
        expect(page.locator(f"[data-job='{job_id}'] [data-show=status]")).to_have_text("completed", timeout=LONG)

        site.submit("upscale", small_photo.read_bytes(), filename="second.jpg")

        page.get_by_text("There are new jobs").click(timeout=LONG)
        expect(page.get_by_role("link", name="second.jpg").first).to_be_visible()

    def test_learns_after_a_break_what_ended_meanwhile(
        self, page: Page, site: RunningSite, small_photo: Path, complaints: list[str]
    ) -> None:
        site.stop_process("worker")
        job_id = str(site.submit("upscale", small_photo.read_bytes())["job_id"])
        page.goto(f"{site.url}/jobs/")
        status = page.locator(f"[data-job='{job_id}'] [data-show=status]")
        expect(status).to_have_text("queued")
        site.stop_process("web")
        expect(page.get_by_text("The connection was lost")).to_be_visible(timeout=LONG)

        site.start_worker()
        wait_until(lambda: f"ended {job_id}" in site.python(ENDED, job_id), seconds=60, what="the end of the job")
        site.start_web()

        expect(status).to_have_text("completed", timeout=20_000)
        complaints.clear()

    def test_filters_by_operation_and_status(self, page: Page, site: RunningSite, small_photo: Path) -> None:
        job_id = str(site.submit("background/remove", small_photo.read_bytes(), filename="cut.jpg")["job_id"])
        site.wait_for(job_id)
        page.goto(f"{site.url}/jobs/")

        page.get_by_label("Name").fill("CUT")
        page.get_by_label("Operation").select_option("background_remove")
        page.get_by_label("Status").select_option("completed")
        page.get_by_role("button", name="Show").click()

        expect(page.locator(f"[data-job='{job_id}']")).to_be_visible()
        expect(page.locator(".jobs").get_by_text("Upscale ·")).to_have_count(0)

    def test_tells_only_of_new_jobs_that_fit_its_filter(self, page: Page, site: RunningSite, small_photo: Path) -> None:
        heard = listen(page)
        page.goto(f"{site.url}/jobs/?operation=background_remove")
        news = page.get_by_text("There are new jobs")

        site.submit("upscale", small_photo.read_bytes(), filename="unfit.jpg")
        wait_to_hear(page, heard, "unfit.jpg")
        expect(news).to_be_hidden()
        site.submit("background/remove", small_photo.read_bytes(), filename="fitting.jpg")

        news.click(timeout=LONG)
        expect(page.get_by_role("link", name="fitting.jpg").first).to_be_visible()
        expect(page.get_by_label("Operation")).to_have_value("background_remove")

    def test_calls_nothing_new_that_is_on_a_page_before(self, page: Page, site: RunningSite, small_photo: Path) -> None:
        heard = listen(page)
        site.stop_process("worker")
        job_ids = [
            str(site.submit("background/remove", small_photo.read_bytes(), filename=f"old-{number}.jpg")["job_id"])
            for number in range(25)
        ]

        page.goto(f"{site.url}/jobs/?page=2")
        wait_to_hear(page, heard, job_ids[-1])

        expect(page.get_by_text("There are new jobs")).to_be_hidden()
        for job_id in job_ids:
            site.call("POST", f"/api/v1/jobs/{job_id}/cancel")
