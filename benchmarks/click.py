"""From a click to its result: one cell uploaded to an idle site, seen in a real browser.

    python -m benchmarks.click [CELL_OR_FOLDER...] [--clicks N]

The clock starts when the browser sends the file and stops when its answer stands in the page; once
on PostgreSQL and Redis, once with no settings at all. Where the time goes is told by the row of
the reading: received and stored, waited for a worker, read, shown by the page.
"""

import argparse
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.cells import cells
from benchmarks.figures import Figure, at_least, parser, show
from tests.browser import ARGUMENTS, CHROMIUM, PATIENCE, send, send_to_new_slide, sign_up
from tests.servers import Site, postgres_server, redis_server

WARM_UP = 3
PARTS = ("received and stored", "waited for a worker", "read", "shown")
MARKS = """
import json
from diagnosis.models import Prediction
rows = Prediction.objects.order_by("pk").values_list("queued_at", "started_at", "finished_at")
print(json.dumps([[moment.timestamp() for moment in row] for row in rows]))
"""


SEEN = """([count, patience]) => new Promise((done, fail) => {
    setTimeout(() => fail(new Error(`Cell ${count} had no answer in ${patience} ms.`)), patience);
    const look = () => {
        if (document.querySelectorAll("#cells .cell:not(.waiting)").length < count) return;
        observer.disconnect();
        done(Date.now() / 1000);
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, { subtree: true, childList: true, attributes: true });
    look();
})"""
"""Playwright's own waiting looks only every half second in the end."""


def clicks(page: Page, files: list[Path]) -> Iterator[tuple[float, float]]:
    """When each file was sent, and when its answer was seen (seconds since 1970)."""
    send_to_new_slide(page, "CLICKS", files[0])
    sent: list[float] = []
    page.on("request", lambda asked: sent.append(time.time()) if _is_upload(asked) else None)
    for number, file in enumerate(files[1:], 2):
        send(page, file)
        seen = page.evaluate(SEEN, [number, PATIENCE])
        yield sent[-1], seen


def _is_upload(asked: Any) -> bool:
    return asked.method == "POST" and asked.url.endswith("/images/")


def measured_on(words: str, site: Site, files: list[Path], most: tuple[float, float]
                ) -> Iterator[Figure]:  # fmt: skip
    site.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(base_url=site.url)
        sign_up(page, "ada")
        seen = list(clicks(page, files))[WARM_UP:]
        browser.close()
    rows = json.loads(site.manage("shell", "-v", "0", "-c", MARKS))[1 + WARM_UP :]
    moments = [(sent, *row, shown) for (sent, shown), row in zip(seen, rows, strict=True)]
    whole = [1000 * (moment[-1] - moment[0]) for moment in moments]
    yield Figure(f"click to result, {words}, half of them", (statistics.median(whole),), "ms",
                 most=most[0])  # fmt: skip
    yield Figure(f"click to result, {words}, 95 %", (statistics.quantiles(whole, n=20)[-1],), "ms",
                 most=most[1])  # fmt: skip
    for place, part in enumerate(PARTS):
        spent = tuple(1000 * (moment[place + 1] - moment[place]) for moment in moments)
        yield Figure(f"  {part}", (statistics.median(spent),), "ms")


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        files = cells(options.paths, 1 + WARM_UP + options.clicks, folder)
        for part in ("plain", "servers"):
            (folder / part).mkdir()
        plain = Site(folder / "plain")
        stack.callback(plain.stop)
        yield from measured_on("no settings", plain, files, (1200, 1200))
        plain.stop()
        served = Site(
            folder / "servers",
            DATABASE_URL=stack.enter_context(postgres_server()) + "/postgres",
            REDIS_URL=stack.enter_context(redis_server()),
            SECRET_KEY=secrets.token_urlsafe(50),
        )
        stack.callback(served.stop)
        yield from measured_on("PostgreSQL and Redis", served, files, (250, 600))


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--clicks", type=at_least(2), default=40)
    options = made.parse_args()
    show(measured(options), options)


if __name__ == "__main__":
    main()
