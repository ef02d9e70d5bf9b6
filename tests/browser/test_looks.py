"""Every page and state: its pictures in var/screenshots, and what must hold of each of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import expect
from skimage import data

from tests.browser import looks
from tests.browser.conftest import sign_in
from tests.browser.seed import POOR_EMAIL
from tests.running_site import RunningSite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page, Route

pytestmark = [
    pytest.mark.browser,
    pytest.mark.processes,
    pytest.mark.xdist_group("looks"),
    pytest.mark.timeout(120),
]
# Notes of the browser's own on answers that a state is about.
_ITS_OWN = ("Failed to load resource", "net::ERR_INTERNET_DISCONNECTED", "WebSocket connection")


# Swagger UI puts buttons into buttons; its colours are mended in css/docs.css, this cannot be.
_THEIRS = ("nested-interactive",)


@dataclass
class Gallery:
    """A site whose jobs stand still in every state, and somebody who looks at it."""

    site: RunningSite
    jobs: dict[str, str]
    photos: list[Path]
    complaints: list[str]

    def go(self, page: Page, path: str) -> None:
        page.goto(self.site.url + path.format(**self.jobs))
        page.wait_for_load_state()

    def view(self, name: str) -> dict[str, object]:
        return self.site.job(self.jobs[name])


@pytest.fixture(scope="module")
def still_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    # No worker, and nobody at the model server's address.
    site = RunningSite(var_dir=tmp_path_factory.mktemp("looks") / "var", triton_url="127.0.0.1:1", credits=120)
    try:
        site.prepare()
        site.start_web()
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def gallery(still_site: RunningSite, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    seed = "from tests.browser.seed import main; main()"
    jobs = json.loads(still_site.python(seed, still_site.email, still_site.password).splitlines()[-1])
    folder = tmp_path_factory.mktemp("photos")
    photos = []
    for name in ("astronaut", "coffee", "chelsea"):
        photos.append(folder / f"{name}.jpg")
        Image.fromarray(getattr(data, name)()).save(photos[-1], "JPEG")
    return Gallery(still_site, jobs, photos, [])


@pytest.fixture(scope="module")
def viewer(chromium: Browser, gallery: Gallery) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    looks.watch_shifts(context)
    page = context.new_page()
    sign_in(page, gallery.site)
    page.close()
    yield context
    context.close()


@pytest.fixture
def page(viewer: BrowserContext, gallery: Gallery) -> Iterator[Page]:
    page = viewer.new_page()
    gallery.complaints.clear()
    page.on(
        "console",
        lambda message: (
            gallery.complaints.append(message.text)
            if message.type in {"error", "warning"} and not any(own in message.text for own in _ITS_OWN)
            else None
        ),
    )
    page.on("pageerror", lambda error: gallery.complaints.append(str(error)))
    yield page
    viewer.set_offline(False)
    page.close()


def choose(page: Page, gallery: Gallery, count: int = 3) -> None:
    gallery.go(page, "/")
    page.locator("#image").set_input_files(gallery.photos[:count])
    expect(page.locator("#price")).to_contain_text("credit")


def send(page: Page, gallery: Gallery, answer: Callable[[Route], None], count: int = 1) -> None:
    """Choose photos and send them to a site that answers as told."""
    page.route("**/api/v1/images/**", answer)
    choose(page, gallery, count)
    page.locator("#start").click()


def answer_with(status: int, body: dict[str, object], kind: str = "application/json") -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=status, body=json.dumps(body), content_type=kind)


def problem(status: int, code: str, detail: str) -> Callable[[Route], None]:
    body: dict[str, object] = {"status": status, "code": code, "detail": detail}
    return answer_with(status, body, "application/problem+json")


def home_uploading(page: Page, gallery: Gallery) -> None:
    send(page, gallery, lambda _: None, count=3)
    expect(page.locator(".card[data-state=uploading]")).to_have_count(2)


def home_working(page: Page, gallery: Gallery) -> None:
    send(page, gallery, answer_with(202, gallery.view("processing")))
    expect(page.locator(".card[data-state=working] .live")).to_be_visible()


def home_done(page: Page, gallery: Gallery) -> None:
    send(page, gallery, answer_with(202, gallery.view("cut_out")), count=2)
    expect(page.locator(".card[data-state=done]")).to_have_count(2)
    page.wait_for_load_state("networkidle")


def home_out_of_credit(page: Page, gallery: Gallery) -> None:
    send(page, gallery, problem(402, "insufficient_credits", "This needs 3 credits; 1 is left."), count=3)
    expect(page.locator(".card[data-state=refused]")).to_have_count(3)


def home_refused(page: Page, gallery: Gallery) -> None:
    sentence = "This is not an image we can read. We take JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC and AVIF."
    send(page, gallery, problem(415, "not_an_image", sentence))
    expect(page.locator(".card[data-state=refused]")).to_have_count(1)


def home_lost(page: Page, gallery: Gallery) -> None:
    send(page, gallery, lambda route: route.abort())
    expect(page.locator(".card[data-state=broken]")).to_have_count(1)


def home_wrong_setting(page: Page, gallery: Gallery) -> None:
    choose(page, gallery, 1)
    page.get_by_role("link", name="Remove background").click()
    page.get_by_label("Background colour", exact=True).fill("reddish")
    page.locator("#start").click()
    expect(page.locator("#field-bg_color-error")).to_be_visible()


def settings_open(page: Page, gallery: Gallery) -> None:
    gallery.go(page, "/?operation=style_comic")
    page.get_by_text("More settings").click()


def offline(page: Page, gallery: Gallery) -> None:
    gallery.go(page, "/jobs/")
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_contain_text("You are offline")


def compared(page: Page, gallery: Gallery) -> None:
    gallery.go(page, "/jobs/{completed}/")
    expect(page.locator("#controls")).to_be_visible()


def zoomed(page: Page, gallery: Gallery) -> None:
    compared(page, gallery)
    page.get_by_role("button", name="Zoom in").click(click_count=3)


def key_created(page: Page, gallery: Gallery) -> None:
    gallery.go(page, "/account/")
    page.get_by_label("Name").fill("kiosk")
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#new-key")).to_be_visible()


def forged(page: Page, gallery: Gallery) -> None:
    gallery.go(page, "/account/")
    page.locator(".new-key [name=csrfmiddlewaretoken]").evaluate("input => input.remove()")
    page.get_by_label("Name").fill("kiosk")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("heading", name="This form is too old")).to_be_visible()


def made(page: Page, gallery: Gallery) -> None:
    gallery.go(page, "/jobs/{completed}/")
    page.get_by_text("How it was made").click()
    expect(page.locator("#made")).to_be_visible()


def at(path: str) -> Callable[[Page, Gallery], None]:
    return lambda page, gallery: gallery.go(page, path)


STATES: dict[str, Callable[[Page, Gallery], None]] = {
    "home": at("/"),
    "home-background": at("/?operation=background_remove"),
    "home-settings-open": settings_open,
    "home-chosen": choose,
    "home-uploading": home_uploading,
    "home-working": home_working,
    "home-done": home_done,
    "home-out-of-credit": home_out_of_credit,
    "home-refused": home_refused,
    "home-lost": home_lost,
    "home-wrong-setting": home_wrong_setting,
    "home-again": at("/?operation=upscale&from={completed}"),
    "history": at("/jobs/"),
    "history-none-fits": at("/jobs/?text=nowhere&status=failed"),
    "history-filtered": at("/jobs/?operation=background_remove"),
    "offline": offline,
    "job-queued": at("/jobs/{queued}/"),
    "job-processing": at("/jobs/{processing}/"),
    "job-completed": compared,
    "job-zoomed": zoomed,
    "job-made": made,
    "job-cut-out": at("/jobs/{cut_out}/"),
    "job-cropped": at("/jobs/{cropped}/"),
    "job-child": at("/jobs/{again}/"),
    "job-failed": at("/jobs/{failed}/"),
    "job-cancelled": at("/jobs/{cancelled}/"),
    "job-expired": at("/jobs/{purged}/"),
    "keys": at("/account/"),
    "key-created": key_created,
    "credits": at("/account/credits/"),
    "api-docs": at("/api/v1/docs"),
    "not-found": at("/nowhere"),
    "forged": forged,
}


class TestEveryPage:
    @pytest.mark.parametrize("state", STATES)
    def test_is_still_fits_and_can_be_read_by_everybody(self, page: Page, gallery: Gallery, state: str) -> None:
        STATES[state](page, gallery)

        wrong = looks.look_at(page, state, excepted=_THEIRS if state == "api-docs" else ())

        assert wrong == []
        assert gallery.complaints == []

    @pytest.mark.parametrize(
        "state", ["login", "login-refused", "home-new", "history-empty", "keys-empty", "credits-empty"]
    )
    def test_is_so_for_somebody_new(self, chromium: Browser, gallery: Gallery, state: str) -> None:
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        looks.watch_shifts(context)
        page = context.new_page()
        page.goto(gallery.site.url)
        if state != "login":
            sign_in(page, gallery.site, email=POOR_EMAIL, password="wrong" if state == "login-refused" else None)
        paths = {"history-empty": "/jobs/", "keys-empty": "/account/", "credits-empty": "/account/credits/"}
        if state in paths:
            gallery.go(page, paths[state])

        wrong = looks.look_at(page, state)

        assert wrong == []
        context.close()


class TestTheFirstLoad:
    @pytest.mark.parametrize("path", ["/", "/jobs/", "/jobs/{completed}/", "/account/credits/"])
    def test_is_small_and_asks_nobody_else(
        self, chromium: Browser, viewer: BrowserContext, gallery: Gallery, path: str
    ) -> None:
        context = chromium.new_context(storage_state=viewer.storage_state())
        page = context.new_page()
        requests: list[tuple[str, int]] = []
        page.on(
            "requestfinished",
            lambda request: requests.append(
                (request.url, request.sizes()["responseBodySize"] + request.sizes()["responseHeadersSize"])
            ),
        )

        gallery.go(page, path)

        # Photos and results are what people came for; all else is ours.
        ours = [(url, size) for url, size in requests if "/files/" not in url and "thumbnail" not in url]
        assert sum(size for _, size in ours) < 150_000, sorted(ours, key=lambda each: each[1])
        assert all(url.startswith((gallery.site.url, "data:", "blob:")) for url, _ in requests)
        context.close()


class TestEveryAnswer:
    @pytest.mark.parametrize(
        "path", ["/", "/jobs/", "/jobs/{completed}/", "/account/", "/account/credits/", "/nowhere"]
    )
    def test_lets_no_script_and_no_style_run_but_our_files(self, page: Page, gallery: Gallery, path: str) -> None:
        answer = page.goto(gallery.site.url + path.format(**gallery.jobs))

        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy + ";"
        assert "unsafe" not in policy


class TestAJobsLife:
    def test_moves_nothing_on_its_page(self, page: Page, gallery: Gallery) -> None:
        gallery.go(page, "/jobs/{waiting}/")

        for step, status in (("processing", "processing"), ("completed", "completed")):
            advance = f"from tests.browser.seed import advance; advance({gallery.jobs['waiting']!r}, {step!r})"
            gallery.site.python(advance)
            expect(page.locator("[data-show=status]")).to_have_text(status)
        expect(page.locator("#controls")).to_be_visible()

        assert looks.shifted(page) < 0.01, page.evaluate("window.shifts")

    def test_ends_with_how_it_was_made_without_a_reload(self, page: Page, gallery: Gallery) -> None:
        gallery.go(page, "/jobs/{drawing}/")
        page.get_by_text("How it was made").click()
        expect(page.locator("#made")).not_to_contain_text("Engine")

        advance = f"from tests.browser.seed import advance; advance({gallery.jobs['drawing']!r}, 'completed')"
        gallery.site.python(advance)

        expect(page.locator("#made")).to_contain_text("Tesla T4, fp16")
        expect(page.locator("#warnings")).to_contain_text("The negative_prompt was not used")


class TestTheComparison:
    def test_is_dragged_and_the_picture_too_once_it_is_larger(self, page: Page, gallery: Gallery) -> None:
        compared(page, gallery)
        stage = page.locator("#stage").bounding_box()
        assert stage is not None
        middle, height = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2

        drag(page, (middle, height), (stage["x"] + stage["width"] / 4, height))
        expect(page.locator("#split")).to_have_value("25")
        page.mouse.dblclick(middle, height)
        expect(page.locator("#zoom-level")).not_to_have_text("100 %")
        before = page.locator("#result").get_attribute("style")
        drag(page, (middle + 200, height), (middle + 160, height - 30))

        assert page.locator("#result").get_attribute("style") != before
        assert page.locator("#before img").get_attribute("style") == page.locator("#result").get_attribute("style")


def drag(page: Page, begin: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*begin)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


class TestTheTheme:
    def test_follows_the_system_until_one_is_chosen_which_is_then_remembered(
        self, chromium: Browser, gallery: Gallery
    ) -> None:
        context = chromium.new_context(color_scheme="dark")
        page = context.new_page()
        page.goto(gallery.site.url)
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(ground)
        button = page.get_by_role("button", name="Dark theme")
        expect(button).to_have_attribute("aria-pressed", "true")

        button.click()

        light = page.evaluate(ground)
        assert light != dark
        page.reload()
        assert page.evaluate(ground) == light
        expect(button).to_have_attribute("aria-pressed", "false")
        context.close()
