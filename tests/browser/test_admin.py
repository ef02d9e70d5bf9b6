"""The admin as an operator uses it, with its scripts, under its own content security policy."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser import looks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.running_site import RunningSite

pytestmark = [
    pytest.mark.browser,
    pytest.mark.triton,
    pytest.mark.processes,
    pytest.mark.xdist_group("looks"),
    pytest.mark.timeout(180),
]
EMAIL = "olga@example.com"
_MAKE_OPERATOR = f"""
from accounts.models import Account, User
if not User.objects.filter(email="{EMAIL}").exists():
    User.objects.create_superuser("{EMAIL}", "correct horse battery", account=Account.objects.first())
"""


def open_admin(browser: Browser, site: RunningSite, complaints: list[str]) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.on("console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{site.url}/admin/")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site.url}/admin/")
    return page


@pytest.fixture(scope="module")
def _operator(running_site: RunningSite) -> None:
    running_site.python(_MAKE_OPERATOR)


@pytest.fixture
def job_id(site: RunningSite, _operator: None) -> str:
    """A completed job."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(file, "PNG")
    job = site.submit("upscale", file.getvalue(), filename="gradient.png", scale="2")
    assert site.wait_for(job["job_id"])["status"] == "completed"
    return str(job["job_id"])


@pytest.fixture
def admin(chromium: Browser, site: RunningSite, complaints: list[str], job_id: str) -> Iterator[Page]:
    page = open_admin(chromium, site, complaints)
    yield page
    page.context.close()


class TestTheOperator:
    def test_finds_a_job_looks_at_it_and_runs_it_again(self, admin: Page, site: RunningSite, job_id: str) -> None:
        admin.goto(f"{site.url}/admin/jobs/job/?q={job_id[:8]}")
        admin.get_by_role("link", name=job_id[:8]).click()
        expect(admin.get_by_role("img", name="Input: gradient.png")).to_be_visible()
        expect(admin.get_by_role("img", name="Output: gradient-upscale.png")).to_be_visible()
        expect(admin.get_by_role("region", name="Timeline")).to_contain_text("Completed")
        expect(admin.get_by_role("region", name="Ledger")).to_contain_text("capture")

        admin.get_by_role("button", name="Run again…").click()
        admin.get_by_role("button", name="Run 1 job again").click()

        expect(admin.get_by_text("1 job run again.")).to_be_visible()
        expect(admin.get_by_role("link", name=job_id)).to_be_visible()

    def test_cancels_what_was_chosen_in_the_list(self, admin: Page, site: RunningSite, job_id: str) -> None:
        admin.goto(f"{site.url}/admin/jobs/job/?q={job_id[:8]}")
        admin.get_by_role("checkbox", name="Select record").last.check()
        admin.locator("select[name=action]").select_option("cancel")
        admin.get_by_role("button", name="Run").click()
        admin.get_by_role("button", name="Cancel 1 job").click()

        expect(admin.get_by_text("1 job not cancelled: The job is completed")).to_be_visible()

    def test_chooses_a_filter(self, admin: Page, site: RunningSite) -> None:
        admin.goto(f"{site.url}/admin/jobs/job/")
        admin.get_by_text("Filters").first.click()
        admin.get_by_role("link", name="Remove background").click()

        admin.wait_for_url("**/?operation=background_remove")


class TestItsPages:
    def test_fit_their_window_and_can_be_read_by_everybody(self, admin: Page, site: RunningSite, job_id: str) -> None:
        account = site.python("from accounts.models import ApiKey; print(ApiKey.objects.get().account_id)").split()[-1]
        pages = {
            "index": "",
            "jobs": "jobs/job/",
            "job": f"jobs/job/{job_id}/change/",
            "account": f"accounts/account/{account}/change/",
            "grant": f"accounts/account/{account}/grant/",
            "balances": "billing/creditbalance/",
        }

        wrong = []
        for name, path in pages.items():
            for theme in looks.THEMES:
                # Before the page loads: Unfold asks for the theme once and does not follow it.
                admin.emulate_media(color_scheme=theme)
                admin.goto(f"{site.url}/admin/{path}")
                wrong += look_at(admin, f"admin-{name}", theme)

        assert wrong == []


def look_at(page: Page, name: str, theme: str) -> list[str]:
    """Take the pictures of a page in every width; return what is wrong with it."""
    looks.PICTURES.mkdir(parents=True, exist_ok=True)
    wrong = [f"{name} {theme}: {each}" for each in looks.violations(page)]
    for width, height in looks.WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        path = looks.PICTURES / f"{name}-{width}-{theme}.jpg"
        page.screenshot(path=path, full_page=True, type="jpeg", quality=75)
        if looks.beyond_the_window(page) > 0:
            wrong.append(f"{name} {theme}: wider than {width} pixels")
    return wrong
