"""The main job by hand, as a person does it."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import expect
from skimage import data

from tests.browser.conftest import sign_in
from tests.running_site import ROOT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Download, Page

    from tests.running_site import RunningSite

pytestmark = [
    pytest.mark.browser,
    pytest.mark.triton,
    pytest.mark.processes,
    pytest.mark.xdist_group("triton"),
    pytest.mark.timeout(180),
]
LONG = 60_000
# Asked of the database, for while no web process runs.
_ENDED = """
import sys
from jobs.models import Job
for job in Job.objects.filter(id=sys.argv[-1], settled_at__isnull=False):
    print("ended", job.id)
"""


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


def watch_status(page: Page) -> None:
    """Note every text that the status line shows, from the first moment on."""
    page.add_init_script("""
        window.seen = [];
        document.addEventListener("DOMContentLoaded", () => {
            const line = document.querySelector(".line");
            if (line) new MutationObserver(() => window.seen.push(line.textContent.replace(/\\s+/g, " ").trim()))
                .observe(line, {subtree: true, childList: true, characterData: true});
        });
    """)


def listen(page: Page) -> list[str]:
    """Return what the page's sockets hear from now on; it grows."""
    heard: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(str(frame))))
    return heard


def wait_to_hear(page: Page, heard: list[str], text: str) -> None:
    for _ in range(LONG // 50):
        if any(text in message for message in heard):
            # The page's script is told at the same time as we are.
            page.wait_for_timeout(200)
            return
        page.wait_for_timeout(50)
    pytest.fail(f"No socket told of {text}.")


class TestTheMainJob:
    def test_drop_watch_see_and_download(self, page: Page, site: RunningSite, photo: Path) -> None:
        watch_status(page)
        page.goto(site.url)
        # A real drop, as from a file manager.
        transfer = page.evaluate_handle(
            """async (bytes) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], "astronaut.jpg", {type: "image/jpeg"}));
                return transfer;
            }""",
            list(photo.read_bytes()),
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
        expect(page.locator("#chosen")).to_be_visible()
        expect(page.locator("#chosen-facts")).to_contain_text("512 × 512")
        page.get_by_role("button", name="Upscale").click()
        page.wait_for_url("**/jobs/*/")
        expect(page.get_by_role("button", name="Download")).to_be_visible(timeout=LONG)

        seen: list[str] = page.evaluate("window.seen")
        percentages = [int(text.split()[-2]) for text in seen if text.endswith("%")]
        assert len(set(percentages)) >= 2, seen
        assert percentages == sorted(percentages)
        assert any("inferring" in text for text in seen)
        page.wait_for_function("document.getElementById('result').naturalWidth === 2048", timeout=LONG)
        expect(page.locator("#result-facts")).to_contain_text("2048 × 2048")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert downloaded(download.value).size == (2048, 2048)
        assert download.value.suggested_filename == "astronaut-upscale.jpg"
        take_screenshot(page)

    def test_remove_the_background(self, page: Page, site: RunningSite, photo: Path) -> None:
        page.get_by_role("link", name="Remove background").click()
        page.get_by_label("Photo", exact=True).set_input_files(photo)
        page.get_by_role("button", name="Remove background").click()
        expect(page.get_by_role("button", name="Download")).to_be_visible(timeout=LONG)

        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        alpha = downloaded(download.value).getchannel("A")
        assert alpha.getpixel((256, 350)) > 230  # the suit
        assert alpha.getpixel((350, 20)) < 25  # beside the head


class TestAJobThatIsCancelled:
    def test_says_so_and_offers_no_download(self, page: Page, site: RunningSite, tmp_path: Path) -> None:
        path = tmp_path / "large.jpg"
        Image.fromarray(data.astronaut()).resize((900, 900)).save(path, "JPEG")
        page.get_by_label("Photo", exact=True).set_input_files(path)
        page.get_by_role("button", name="Upscale").click()
        page.wait_for_url("**/jobs/*/")

        page.get_by_role("button", name="Cancel").click()

        expect(page.locator("[data-show=status]")).to_have_text("cancelled", timeout=LONG)
        expect(page.get_by_role("button", name="Download")).to_be_hidden()
        expect(page.get_by_text("There is no result.")).to_be_visible()


class TestAFileThatIsNoPhoto:
    def test_is_refused_in_a_sentence_on_the_same_page(
        self, page: Page, site: RunningSite, tmp_path: Path, complaints: list[str]
    ) -> None:
        path = tmp_path / "photo.png"
        path.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
        page.get_by_label("Photo", exact=True).set_input_files(path)

        page.get_by_role("button", name="Upscale").click()

        expect(page.get_by_role("alert")).to_contain_text("not an image we can read")
        expect(page.get_by_role("button", name="Upscale")).to_be_enabled()
        # The browser itself notes every answer of 400 in the console.
        complaints.clear()


class TestAParameterThatIsWrong:
    def test_is_said_beside_its_field_until_it_is_right(
        self, page: Page, site: RunningSite, small_photo: Path, complaints: list[str]
    ) -> None:
        page.get_by_role("link", name="Remove background").click()
        page.get_by_label("Photo", exact=True).set_input_files(small_photo)
        color, engine = page.get_by_label("Background colour"), page.get_by_label("Engine", exact=True)
        color.fill("reddish")
        page.get_by_text("More settings").click()
        engine.fill("No Such")
        page.get_by_text("More settings").click()

        page.get_by_role("button", name="Remove background").click()

        expect(color).to_have_accessible_description(
            "'reddish' is not a colour such as #ffffff. Transparent when empty."
        )
        expect(color).to_have_attribute("aria-invalid", "true")
        expect(color).to_be_focused()
        # What is wrong among the settings that were folded away is shown, too.
        expect(page.get_by_text("is not a name of an engine")).to_be_visible()
        color.fill("#ff0000")
        engine.fill("auto")
        page.get_by_role("button", name="Remove background").click()
        page.wait_for_url("**/jobs/*/")
        # The browser itself notes every answer of 422 in the console.
        complaints.clear()


class TestASignInThatHasEnded:
    def test_is_said_when_a_photo_is_sent(
        self, page: Page, context: BrowserContext, site: RunningSite, small_photo: Path
    ) -> None:
        page.get_by_label("Photo", exact=True).set_input_files(small_photo)
        context.clear_cookies(name="sessionid")

        page.get_by_role("button", name="Upscale").click()

        expect(page.get_by_role("alert")).to_contain_text("Your sign-in has ended")


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
        wait_until(lambda: f"ended {job_id}" in site.python(_ENDED, job_id), seconds=60, what="the end of the job")
        site.start_web()

        expect(status).to_have_text("completed", timeout=20_000)
        complaints.clear()

    def test_filters_by_operation_and_status(self, page: Page, site: RunningSite, small_photo: Path) -> None:
        job_id = str(site.submit("background/remove", small_photo.read_bytes(), filename="cut.jpg")["job_id"])
        site.wait_for(job_id)
        page.goto(f"{site.url}/jobs/")

        page.get_by_label("Operation").select_option("background_remove")
        page.get_by_label("Status").select_option("completed")
        page.get_by_role("button", name="Show").click()

        expect(page.locator(f"[data-job='{job_id}']")).to_be_visible()
        expect(page.get_by_text("Upscale ·")).to_have_count(0)

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


class TestWithoutScripts:
    def test_submitting_and_reading_work(self, chromium: Browser, site: RunningSite, small_photo: Path) -> None:
        context = chromium.new_context(java_script_enabled=False)
        page = context.new_page()
        sign_in(page, site)
        page.get_by_label("Photo", exact=True).set_input_files(small_photo)
        page.get_by_role("button", name="Upscale").click()

        # The page reloads itself until the job is over.
        expect(page.locator("[data-show=status]")).to_have_text("completed", timeout=LONG)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert downloaded(download.value).size == (384, 256)
        context.close()


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

        widths = {}
        for path in ("/", "/?operation=background_remove", "/jobs/", "/account/", "/account/credits/", "/nowhere"):
            page.goto(site.url + path)
            widths[path] = page.evaluate("document.documentElement.scrollWidth")

        assert set(widths.values()) == {360}, widths
        context.close()

    def test_can_be_used_by_keyboard_alone(self, page: Page, site: RunningSite) -> None:
        page.goto(site.url)

        reached = []
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))

        assert {"image", "field-scale", "start", "Jobs", "Sign out"} <= set(reached)


def downloaded(download: Download) -> Image.Image:
    """Return what was downloaded, decoded to its last pixel."""
    image = Image.open(io.BytesIO(download.path().read_bytes()))
    image.load()
    return image


def take_screenshot(page: Page) -> None:
    """Keep the README's picture, when told to: docs/screenshot.jpg."""
    if not os.environ.get("IMAGEN_SCREENSHOTS"):
        return
    content = page.screenshot(full_page=True, type="jpeg", quality=80)
    assert Image.open(io.BytesIO(content)).width == 1280
    (ROOT / "docs/screenshot.jpg").write_bytes(content)
