"""Pictures of the pages for the README, with drawn cells: `python -m tests.screenshots [MODEL]`.

Starts the real site in a temporary folder; MODEL is the folder of an artifact (default: the
shipped one).
"""

import io
import random
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from ml.artifact import shipped_model
from ml.drawing import draw_cell, draw_field
from tests.browser import ARGUMENTS, CHROMIUM, REGISTER, sign_up
from tests.servers import ROOT, Site

FOLDER = ROOT / "diagnosis/static/diagnosis/screenshots"
FIELDS = 6
# Code, note, parasitized and uninfected cells.
SLIDES = (
    ("KSM-2026-0408", "Repeat of 0391", 0, 6),
    ("KSM-2026-0409", "", 1, 4),
    ("KSM-2026-0410", "Under-five clinic", 5, 3),
    ("KSM-2026-0411", "", 0, 8),
    ("KSM-2026-0412", "Ward 4, fever since Saturday", 3, 7),
)


def main(model: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Site(Path(folder))
        site.manage("prepare")
        site.manage("shell", "-v", "0", "-c", REGISTER.format(str(model)))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            site.start_web()
            site.start_worker()
            take(browser, site)
        finally:
            browser.close()
            site.stop()


def take(browser: Browser, site: Site) -> None:
    viewport = {"width": 1280, "height": 900}
    page = browser.new_context(base_url=site.url, viewport=viewport).new_page()
    page.set_default_timeout(120_000)
    sign_up(page, "grace")
    for seed, (code, note, parasitized, uninfected) in enumerate(SLIDES):
        upload(page, site.var.parent, 100 * seed, code, note, parasitized, uninfected)
    page.locator("[data-heat]").nth(2).click()
    page.locator("[data-heat]").nth(1).click()
    page.wait_for_timeout(1000)
    keep(page, "slide")
    count(page, site.var.parent)
    for address, name in (("/slides/", "history"), ("/today/", "today")):
        page.goto(address)
        page.wait_for_timeout(1000)
        keep(page, name)


def count(page: Page, folder: Path) -> None:
    """A slide of whole fields, and one of these with its most suspicious cell."""
    paths = [folder / f"field-{number}.png" for number in range(1, FIELDS + 1)]
    for number, path in enumerate(paths, 1):
        draw_field(number, cells=108, parasitized=number % 3, size=(1280, 960)).save(path)
    send(page, "KSM-2026-0413", "", paths)
    page.locator("a[href$='/field/']").first.click()
    page.locator(".field-option").first.click()
    page.wait_for_timeout(1500)
    keep(page, "field")


def upload(
    page: Page, folder: Path, seed: int, code: str, note: str, parasitized: int, uninfected: int
) -> None:
    cells = [True] * parasitized + [False] * uninfected
    random.Random(seed).shuffle(cells)
    paths = []
    for number, is_parasitized in enumerate(cells, start=1):
        paths.append(folder / f"{code}-{number:02}.png")
        draw_cell(seed + number, is_parasitized).save(paths[-1])
    send(page, code, note, paths)


def send(page: Page, code: str, note: str, paths: list[Path]) -> None:
    page.goto("/slides/new/")
    page.locator("[name=code]").fill(code)
    page.locator("[name=stain]").select_option("giemsa")
    page.locator("[name=note]").fill(note)
    page.locator("input[type=file]").set_input_files(paths)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/slides/*-*/")
    page.locator(".cell:not(.waiting)").nth(len(paths) - 1).wait_for()


def keep(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").save(FOLDER / f"{name}.webp", "WEBP", quality=82, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else shipped_model())
