"""The main job by hand, as a person does it, and what may go wrong on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import expect
from skimage import data

from tests.browser import looks
from tests.browser.acting import (
    LONG,
    ON_THE_SITE,
    choose,
    count_jobs,
    downloaded,
    drop,
    open_job,
    take_screenshot,
    watch_state,
)
from tests.browser.conftest import sign_in

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page, Route

    from tests.running_site import RunningSite

pytestmark = ON_THE_SITE


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
        # As a page does that has been open since before an engine went.
        engine.evaluate("select => select.add(new Option('No such'))")
        engine.select_option("No such")
        page.get_by_text("More settings").click()

        page.get_by_role("button", name="Remove background").click()

        expect(color).to_have_accessible_description(
            "'reddish' is not a colour such as #ffffff. Transparent when empty."
        )
        expect(color).to_have_attribute("aria-invalid", "true")
        expect(color).to_be_focused()
        # What is wrong among the settings that were folded away is shown, too.
        expect(page.get_by_text("'No such' is not one of auto, light")).to_be_visible()
        color.fill("#ff0000")
        engine.select_option("auto")
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
