"""What holds for every page: it comes back after a break, fits a phone, and needs no mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.acting import LONG, ON_THE_SITE
from tests.browser.conftest import sign_in

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.running_site import RunningSite

pytestmark = ON_THE_SITE


class TestAConnectionThatBreaks:
    def test_is_said_and_comes_back_with_the_newest_state(
        self, page: Page, context: BrowserContext, site: RunningSite, small_photo: Path, complaints: list[str]
    ) -> None:
        site.stop_process("worker")
        job_id = str(site.submit("upscale", small_photo.read_bytes())["job_id"])
        page.goto(f"{site.url}/jobs/{job_id}/")
        expect(page.locator("[data-show=status]")).to_have_text("queued")

        site.stop_process("web")
        expect(page.get_by_text("The connection was lost")).to_be_visible(timeout=LONG)
        site.start_web()
        site.start_worker()

        expect(page.locator("[data-show=status]")).to_have_text("completed", timeout=LONG)
        expect(page.get_by_text("The connection was lost")).to_be_hidden()
        complaints.clear()


class TestEveryPage:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_fits_a_phone_in_both_themes(self, chromium: Browser, site: RunningSite, scheme: str) -> None:
        context = chromium.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
        page = context.new_page()
        sign_in(page, site)

        beyond = {}
        for path in ("/", "/?operation=background_remove", "/jobs/", "/account/", "/account/credits/", "/nowhere"):
            page.goto(site.url + path)
            beyond[path] = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

        assert set(beyond.values()) == {0}, beyond
        context.close()

    def test_can_be_used_by_keyboard_alone(self, page: Page, site: RunningSite) -> None:
        page.goto(site.url)

        reached = []
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))

        assert {"image", "field-scale-4", "start", "History", "Sign out"} <= set(reached)
