"""The main job by hand, as a person does it."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import expect
from skimage import data

from tests.browser import looks
from tests.browser.conftest import sign_in
from tests.running_site import ROOT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Download, Page, Route

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


def watch_state(page: Page) -> None:
    """Note every text that a card's state shows, from now on."""
    page.evaluate("""
        window.seen = [];
        new MutationObserver(() => {
            const text = document.querySelector(".card .state").textContent;
            if (text !== window.seen.at(-1)) window.seen.push(text);
        }).observe(document.getElementById("cards"), {subtree: true, childList: true, characterData: true});
    """)


def drop(page: Page, *photos: Path) -> None:
    """A real drop, as from a file manager."""
    transfer = page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, bytes] of files) {
                transfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/jpeg"}));
            }
            return transfer;
        }""",
        [[photo.name, list(photo.read_bytes())] for photo in photos],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def choose(page: Page, *photos: Path) -> None:
    page.locator("#image").set_input_files(list(photos))


def open_job(page: Page) -> None:
    """Go from a card to its job's page."""
    page.locator(".card .open").click(timeout=LONG)
    page.wait_for_url("**/jobs/*/")


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
        page.goto(site.url)
        watch_state(page)
        drop(page, photo)
        card = page.locator(".card")
        expect(card.locator(".facts")).to_contain_text("512 × 512")
        expect(page.locator("#price")).to_have_text("3 credits for 1 photo")
        page.get_by_role("button", name="Upscale").click()
        expect(card.get_by_role("link", name="Download")).to_be_visible(timeout=LONG)

        # The photos take the place of the drop zone.
        assert looks.shifted(page) < 0.05, page.evaluate("window.shifts")
        seen: list[str] = page.evaluate("window.seen")
        percentages = [int(text.split()[-2]) for text in seen if text.startswith("making the picture")]
        assert len(set(percentages)) >= 2, seen
        assert percentages == sorted(percentages)
        with page.expect_download() as download:
            card.get_by_role("link", name="Download").click()
        assert downloaded(download.value).size == (2048, 2048)
        assert download.value.suggested_filename == "astronaut-upscale.jpg"
        open_job(page)
        page.wait_for_function("document.getElementById('result').naturalWidth === 2048", timeout=LONG)
        expect(page.locator("#result-facts")).to_contain_text("2048 × 2048")
        expect(page.locator("#controls")).to_be_visible()
        take_screenshot(page)

    def test_remove_the_background(self, page: Page, site: RunningSite, photo: Path) -> None:
        page.get_by_role("link", name="Remove background").click()
        choose(page, photo)
        page.get_by_role("button", name="Remove background").click()

        with page.expect_download(timeout=LONG) as download:
            page.locator(".card .download").click(timeout=LONG)
        alpha = downloaded(download.value).getchannel("A")
        assert alpha.getpixel((256, 350)) > 230  # the suit
        assert alpha.getpixel((350, 20)) < 25  # beside the head


class TestSeveralPhotos:
    def test_are_sent_together_and_one_that_is_none_stops_no_other(
        self, page: Page, site: RunningSite, tmp_path: Path, small_photo: Path, complaints: list[str]
    ) -> None:
        no_photo = tmp_path / "photo.png"
        no_photo.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
        other = tmp_path / "other.jpg"
        other.write_bytes(small_photo.read_bytes())
        page.get_by_role("link", name="Remove background").click()
        drop(page, small_photo, no_photo)
        choose(page, other)
        expect(page.locator("#price")).to_have_text("2 credits for 2 photos, 1 whose size this browser cannot read")

        page.get_by_role("button", name="Remove background: 3 photos").click()

        expect(page.locator(".card[data-state=done]")).to_have_count(2, timeout=LONG)
        refused = page.locator(".card[data-state=refused]")
        expect(refused.locator(".reason")).to_contain_text("not an image we can read")
        expect(page.get_by_role("button", name="Download all")).to_be_visible()
        refused.get_by_role("button", name="Remove").click()
        expect(page.locator(".card")).to_have_count(2)
        # The browser itself notes every answer of 415 in the console.
        complaints.clear()

    def test_are_sent_once_however_often_the_button_is_clicked(
        self, page: Page, site: RunningSite, small_photo: Path
    ) -> None:
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
        choose(page, small_photo)

        page.locator("form#submit button[type=submit]").dblclick()

        expect(page.locator(".card").get_by_role("link", name="Download")).to_be_visible(timeout=LONG)
        expect(page.locator("#problem")).to_be_hidden()
        assert len(sent) == 1

    def test_may_be_pasted(self, page: Page, site: RunningSite, small_photo: Path) -> None:
        page.evaluate(
            """(bytes) => {
                const clipboardData = new DataTransfer();
                clipboardData.items.add(new File([new Uint8Array(bytes)], "image.png", {type: "image/png"}));
                document.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
            }""",
            list(small_photo.read_bytes()),
        )

        expect(page.locator(".card .name")).to_have_text("image.png")

    def test_stay_when_another_operation_is_chosen_and_its_price_is_shown(
        self, page: Page, site: RunningSite, small_photo: Path
    ) -> None:
        choose(page, small_photo)
        expect(page.locator("#price")).to_have_text("2 credits for 1 photo")

        page.get_by_role("link", name="Remove background").click()

        expect(page.locator("#price")).to_have_text("1 credit for 1 photo")
        expect(page.locator(".card")).to_have_count(1)
        expect(page.get_by_label("Background colour", exact=True)).to_be_visible()


class TestAnUploadThatBreaks:
    def test_is_tried_again_as_the_same_request_and_makes_one_job(
        self, page: Page, site: RunningSite, small_photo: Path, complaints: list[str]
    ) -> None:
        keys = []

        def lose_the_first_answer(route: Route) -> None:
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) == 1:
                # The site takes the photo, and nobody hears of it.
                route.fetch()
                route.abort()
                return
            route.continue_()

        page.route("**/api/v1/images/upscale", lose_the_first_answer)
        choose(page, small_photo)
        before = count_jobs(site)
        page.get_by_role("button", name="Upscale").click()
        expect(page.locator(".card .reason")).to_contain_text("nothing is done or charged twice")

        page.get_by_role("button", name="Try again").click()

        expect(page.locator(".card[data-state=done]")).to_be_visible(timeout=LONG)
        assert keys[0] == keys[1]
        assert count_jobs(site) == before + 1
        complaints.clear()


class TestAJobThatIsCancelled:
    def test_says_so_and_offers_no_download(self, page: Page, site: RunningSite, tmp_path: Path) -> None:
        path = tmp_path / "large.jpg"
        Image.fromarray(data.astronaut()).resize((900, 900)).save(path, "JPEG")
        choose(page, path)
        page.get_by_role("button", name="Upscale").click()
        open_job(page)

        page.get_by_role("button", name="Cancel").click()

        expect(page.locator("[data-show=status]")).to_have_text("cancelled", timeout=LONG)
        expect(page.locator("#download")).to_be_hidden()
        expect(page.get_by_text("There is no result.")).to_be_visible()

    def test_may_be_cancelled_on_its_card(self, page: Page, site: RunningSite, tmp_path: Path) -> None:
        path = tmp_path / "large.jpg"
        Image.fromarray(data.astronaut()).resize((900, 900)).save(path, "JPEG")
        choose(page, path)
        page.get_by_role("button", name="Upscale").click()
        expect(page.locator(".card .open")).to_be_visible(timeout=LONG)

        page.get_by_role("button", name="Cancel").click()

        expect(page.locator(".card .state")).to_have_text("Cancelled, not charged", timeout=LONG)


class TestAParameterThatIsWrong:
    def test_is_said_beside_its_field_until_it_is_right(
        self, page: Page, site: RunningSite, small_photo: Path, complaints: list[str]
    ) -> None:
        page.get_by_role("link", name="Remove background").click()
        choose(page, small_photo)
        color, engine = page.get_by_label("Background colour", exact=True), page.get_by_label("Engine", exact=True)
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
        expect(page.locator(".card[data-state=done]")).to_be_visible(timeout=LONG)
        # The browser itself notes every answer of 422 in the console.
        complaints.clear()


class TestASignInThatHasEnded:
    def test_is_said_when_a_photo_is_sent(
        self, page: Page, context: BrowserContext, site: RunningSite, small_photo: Path, complaints: list[str]
    ) -> None:
        choose(page, small_photo)
        context.clear_cookies(name="sessionid")

        page.get_by_role("button", name="Upscale").click()

        expect(page.locator(".card .reason")).to_contain_text("Your sign-in has ended")
        complaints.clear()


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


class TestWithoutScripts:
    def test_submitting_and_reading_work(self, chromium: Browser, site: RunningSite, small_photo: Path) -> None:
        context = chromium.new_context(java_script_enabled=False)
        page = context.new_page()
        sign_in(page, site)
        expect(page.get_by_text("Choose photos")).to_be_hidden()
        page.locator("#image").set_input_files(small_photo)
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


def count_jobs(site: RunningSite) -> int:
    return int(site.python("from jobs.models import Job; print(Job.objects.count())"))


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
