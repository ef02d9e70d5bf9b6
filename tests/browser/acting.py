"""What a person does on the pages, and what they see of it."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Download, Page

    from tests.running_site import RunningSite


ON_THE_SITE = [
    pytest.mark.browser,
    pytest.mark.triton,
    pytest.mark.processes,
    pytest.mark.xdist_group("triton"),
    pytest.mark.timeout(180),
]
LONG = 60_000
# Asked of the database, for while no web process runs.
ENDED = """
import sys
from jobs.models import Job
for job in Job.objects.filter(id=sys.argv[-1], settled_at__isnull=False):
    print("ended", job.id)
"""


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
