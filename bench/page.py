"""
What somebody waits for in a browser: the first paint of the page, and the first sign of work after a drop.

In Chromium on this machine, each time with an empty cache, over loopback; the model sleeps 200 ms, which the first sign
of work does not wait for. Bytes are those over the wire, with their headers.
"""

from __future__ import annotations

import base64
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from bench.photos import jpeg
from bench.tables import machine, median_and_range, table
from tests.browser.conftest import ARGUMENTS, sign_in
from tests.running_site import ROOT, RunningSite
from triton_models.local_triton import LocalTriton

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, StorageState

ROUNDS = 9
_LARGEST = """() => new Promise((resolve) => {
    new PerformanceObserver((list) => resolve(list.getEntries().at(-1).startTime))
        .observe({type: "largest-contentful-paint", buffered: true});
})"""
_FIRST = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
# From the drop, through the button, to the first change that the socket told of.
_DROP_TO_PROGRESS = """(base64) => new Promise((resolve) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "photo.jpg", {type: "image/jpeg"}));
    const began = performance.now();
    const cards = document.getElementById("cards");
    new MutationObserver(() => {
        if (cards.querySelector("[data-state=working], [data-state=done]")) resolve(performance.now() - began);
    }).observe(cards, {subtree: true, childList: true, attributes: true});
    document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true}));
    document.getElementById("start").click();
})"""


def paints(browser: Browser, site: RunningSite, who: StorageState) -> tuple[float, float, int]:
    """Return the first and the largest paint in milliseconds, and the bytes of the first load."""
    context = browser.new_context(storage_state=who, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    sizes: list[int] = []

    def weigh(page: Page) -> None:
        page.on(
            "requestfinished",
            lambda request: sizes.append(
                request.sizes()["responseBodySize"] + request.sizes()["responseHeadersSize"],
            ),
        )

    weigh(page)
    page.goto(site.url)
    page.wait_for_load_state("networkidle")
    found = float(page.evaluate(_FIRST)), float(page.evaluate(_LARGEST)), sum(sizes)
    context.close()
    return found


def progress(browser: Browser, site: RunningSite, who: StorageState, photo: bytes) -> float:
    """Return the milliseconds from a drop to the first sign of work."""
    context = browser.new_context(storage_state=who)
    page = context.new_page()
    page.goto(site.url)
    page.wait_for_load_state("networkidle")
    milliseconds = float(page.evaluate(_DROP_TO_PROGRESS, base64.b64encode(photo).decode()))
    context.close()
    return milliseconds


def main() -> None:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        print("Page: left out, there is no Chromium.\n")
        return
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    triton = LocalTriton(
        python=ROOT / ".venv-models/bin/python", log=folder / "triton.log", repositories=[ROOT / "bench/repository"]
    )
    with triton, RunningSite(var_dir=folder / "var", triton_url=triton.grpc_url) as site, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=ARGUMENTS)
        context = browser.new_context()
        sign_in(context.new_page(), site)
        who = context.storage_state()
        print(f"page: {ROUNDS} rounds …", file=sys.stderr)
        painted = [paints(browser, site, who) for _ in range(ROUNDS)]
        worked = [progress(browser, site, who, jpeg(kilobytes=100)) for _ in range(ROUNDS)]
        browser.close()
    print(f"{machine()}\n")
    rows = [
        ("what", "measured", "goal"),
        ("first contentful paint, empty cache", median_and_range([first for first, _, _ in painted], " ms"), "< 1 s"),
        ("largest contentful paint, empty cache", median_and_range([most for _, most, _ in painted], " ms"), "< 2.5 s"),
        ("drop of a 100-kB photo to the first sign of work", median_and_range(worked, " ms"), "< 1 s"),
        ("bytes of the first load", f"{max(size for _, _, size in painted):,}", "< 150,000"),
    ]
    print(table("Page", rows))


if __name__ == "__main__":
    main()
