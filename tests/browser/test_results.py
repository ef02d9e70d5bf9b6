"""Comparing a result with its photo, and making another of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.acting import LONG, ON_THE_SITE

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.running_site import RunningSite

pytestmark = ON_THE_SITE


class TestRunningAgain:
    def test_changes_one_setting_and_leads_back_to_the_first_job(
        self, page: Page, site: RunningSite, small_photo: Path
    ) -> None:
        job_id = str(site.submit("upscale", small_photo.read_bytes(), scale="2")["job_id"])
        site.wait_for(job_id)
        page.goto(f"{site.url}/jobs/{job_id}/")

        page.get_by_role("link", name="Change settings").click()
        expect(page.get_by_role("radio", name="2×")).to_be_checked()
        page.get_by_role("radio", name="4×").check()
        expect(page.locator("#price")).to_have_text("2 credits for 1 photo")
        page.get_by_role("button", name="Upscale").click()

        expect(page.locator("#result-facts")).to_contain_text("384 × 256", timeout=LONG)
        page.get_by_role("link", name="an earlier job").click()
        page.wait_for_url(f"**/jobs/{job_id}/")
        expect(page.locator(".children a")).to_have_count(1)


class TestTheComparison:
    def test_moves_and_zooms_by_keyboard_alone(self, page: Page, site: RunningSite, small_photo: Path) -> None:
        job_id = str(site.submit("upscale", small_photo.read_bytes())["job_id"])
        site.wait_for(job_id)
        page.goto(f"{site.url}/jobs/{job_id}/")
        split = page.get_by_label("Compare")

        split.focus()
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        expect(split).to_have_attribute("aria-valuetext", "60 % before, 40 % after")
        page.locator("#stage").focus()
        page.keyboard.press("+")
        page.keyboard.press("+")

        expect(page.locator("#zoom-level")).to_have_text("225 %")
        # Of both, or they would not be of the same place.
        before, after = (page.locator(f"#{side} img").get_attribute("style") for side in ("before", "after"))
        assert before == after
        assert "scale(2.25)" in str(before)
        page.get_by_role("button", name="Fit").click()
        expect(page.locator("#zoom-level")).to_have_text("100 %")

    def test_shows_what_is_transparent_and_no_chequerboard_elsewhere(
        self, page: Page, site: RunningSite, small_photo: Path
    ) -> None:
        for path, see_through in (("background/remove", True), ("upscale", False)):
            job_id = str(site.submit(path, small_photo.read_bytes())["job_id"])
            site.wait_for(job_id)
            page.goto(f"{site.url}/jobs/{job_id}/")
            expect(page.locator("#controls")).to_be_visible()

            assert page.locator("#after").evaluate("side => side.classList.contains('see-through')") is see_through
