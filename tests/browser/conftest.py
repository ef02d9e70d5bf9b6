"""A real Chromium, its console watched: an error or a blocked script fails the test that caused it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright
from skimage import data

from tests.browser import looks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.running_site import RunningSite

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Else it calls home, which a closed network answers with errors.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Not for the session: Playwright's loop runs in this thread while it is open, and no test that needs a loop of its own, or
# the database, could follow in this process.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        # On a machine without it; on CI tests/no_skips.py makes a failure of this.
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    looks.watch_shifts(context)
    yield context
    context.close()


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What the browser's console complained of; empty at the end, or the test fails."""
    heard: list[str] = []
    yield heard
    assert heard == []


@pytest.fixture
def page(context: BrowserContext, site: RunningSite, complaints: list[str]) -> Page:
    """A page of somebody who has signed in."""
    page = context.new_page()

    def hear(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    sign_in(page, site)
    return page


def sign_in(page: Page, site: RunningSite, *, email: str | None = None, password: str | None = None) -> None:
    page.goto(site.url)
    page.get_by_label("E-mail").fill(email or site.email)
    page.get_by_label("Password").fill(password or site.password)
    page.get_by_role("button", name="Sign in").click()
    # Also after a refusal, which shows the form again.
    page.wait_for_load_state("networkidle")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "astronaut.jpg"
    Image.fromarray(data.astronaut()).save(path, "JPEG", quality=92)
    return path


@pytest.fixture
def small_photo(tmp_path: Path) -> Path:
    path = tmp_path / "small.jpg"
    Image.fromarray(data.coffee()).resize((96, 64)).save(path, "JPEG", quality=92)
    return path
