"""What every page must be, whatever it shows: readable by everybody, inside its window, still, and strict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

from tests.running_site import ROOT

if TYPE_CHECKING:
    from collections.abc import Collection

    from playwright.sync_api import BrowserContext, Page

PICTURES = ROOT / "var/screenshots"
WIDTHS = {1280: 900, 360: 740}
THEMES = ("light", "dark")
GRAVE = {"serious", "critical"}
_axe = Axe()


def watch_shifts(context: BrowserContext) -> None:
    """Add up from the first paint on how far things moved by themselves (CLS, without its windows: stricter)."""
    context.add_init_script("""
        window.shifts = [];
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) {
                const what = entry.sources.map(({node}) => node && (node.id || node.className || node.nodeName));
                if (!entry.hadRecentInput) window.shifts.push([entry.value, ...what]);
            }
        }).observe({type: "layout-shift", buffered: true});
    """)


def shifted(page: Page) -> float:
    """Return how far things have moved since the page began."""
    return float(page.evaluate("window.shifts.reduce((sum, [value]) => sum + value, 0)"))


def beyond_the_window(page: Page) -> int:
    """Return the pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def violations(page: Page, excepted: Collection[str] = ()) -> list[str]:
    """Return what axe-core calls serious or critical, each with the elements."""
    if not page.evaluate("'axe' in window"):
        # Not as a script of the page, which its policy would refuse.
        page.evaluate(_axe.axe_script)
    found: list[dict[str, Any]] = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [
        f"{each['id']}: {', '.join(str(node['target'][0]) for node in each['nodes'][:4])}"
        for each in found
        if each["impact"] in GRAVE and each["id"] not in excepted
    ]


def look_at(page: Page, name: str, *, excepted: Collection[str] = ()) -> list[str]:
    """Take the pictures of what is shown, in every width and theme; return what is wrong with any of them."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    wrong = [f"it moved by {shifted(page):.3f}: {page.evaluate('window.shifts')}"] if shifted(page) > 0.1 else []
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.screenshot(path=PICTURES / f"{name}-{width}-{theme}.jpg", full_page=True, type="jpeg", quality=75)
            if (extra := beyond_the_window(page)) > 0:
                wrong.append(f"{width} {theme}: {extra} pixels too wide")
            # Each theme once and each width once: colours do not depend on widths.
            if (width == 1280) == (theme == "light"):
                wrong += [f"{width} {theme}: {each}" for each in violations(page, excepted)]
    return wrong
