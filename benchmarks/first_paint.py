"""What a browser with an empty cache receives for a page, images aside.

    python -m benchmarks.first_paint [CELL_OR_FOLDER...]

Pages of a site with a slide of cells and a field, in a real browser, each in a new session. A page
is painted once its document and style sheets are there: no script holds it up.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.cells import cells
from benchmarks.figures import Figure, parser, show
from ml.drawing import draw_field
from tests.browser import ARGUMENTS, CHROMIUM, send_to_new_slide, sign_up
from tests.servers import Site

MOST = 100
"""kB until a page is painted."""
CELLS = 40
PAINTED_WITH, IMAGES = ("Document", "Stylesheet"), ("Image", "Media")


def addresses(browser: Browser, site: Site, files: list[Path]) -> tuple[dict[str, str], Any]:
    """(name → address of each page, the cookies of who may see them)"""
    context = browser.new_context(base_url=site.url)
    page = context.new_page()
    sign_up(page, "ada")
    send_to_new_slide(page, "HEAVY", *files)
    field = page.locator("a.photo[href*='/field/']").first.get_attribute("href")
    found = {f"a slide of {CELLS} cells": page.url.split("#")[0], "a field": field or ""}
    found |= {name: f"/{name}/" for name in ("today", "slides", "slides/new", "model")}
    return found, context.storage_state()


def weigh(browser: Browser, site: Site, address: str, cookies: Any) -> dict[str, float]:
    """Kind of file → kB on the wire."""
    context = browser.new_context(base_url=site.url, storage_state=cookies)
    page = context.new_page()
    session = context.new_cdp_session(page)
    kinds: dict[str, str] = {}
    sums: dict[str, float] = defaultdict(float)

    def answered(told: dict[str, Any]) -> None:
        kinds[told["requestId"]] = told["type"]

    def finished(told: dict[str, Any]) -> None:
        sums[kinds[told["requestId"]]] += told["encodedDataLength"] / 1e3

    session.on("Network.responseReceived", answered)
    session.on("Network.loadingFinished", finished)
    session.send("Network.enable")
    page.goto(address, wait_until="networkidle")
    context.close()
    return {kind: size for kind, size in sums.items() if kind not in IMAGES}


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        (folder / "site").mkdir()
        site = Site(folder / "site")
        files = cells(options.paths, CELLS, folder)
        field = folder / "field.jpg"
        draw_field(1, cells=110).save(field)
        try:
            site.manage("prepare")
            site.start()
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            pages, cookies = addresses(browser, site, [*files, field])
            pages = {"the first page": "/"} | pages
            for title, address in pages.items():
                sums = weigh(browser, site, address, None if address == "/" else cookies)
                painted = sum(sums[kind] for kind in PAINTED_WITH)
                yield Figure(f"first paint of {title}", (painted,), "kB", most=MOST)
                yield Figure("  with all that comes later", (sum(sums.values()),), "kB")
            browser.close()
        finally:
            site.stop()


def main() -> None:
    options = parser(__doc__).parse_args()
    show(measured(options), options)


if __name__ == "__main__":
    main()
