"""The browser that tests and benchmarks drive, and how somebody becomes known to a site."""

import shutil
from pathlib import Path

from playwright.sync_api import Page, expect

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
PATIENCE = 60_000
PASSWORD = "a long enough password"
REGISTER = "from diagnosis import registry; registry.register({!r}, activate=True)"


def sign_up(page: Page, name: str) -> None:
    page.goto("/")
    page.get_by_role("link", name="Make an account").click()
    page.locator("[name=username]").fill(name)
    page.locator("[name=password1]").fill(PASSWORD)
    page.locator("[name=password2]").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Your first slide")).to_be_visible()


def send_to_new_slide(page: Page, code: str, *files: Path) -> None:
    """Until all are read."""
    page.goto("/slides/new/")
    page.locator("[name=code]").fill(code)
    send(page, *files)
    read = page.locator("#cells .cell:not(.waiting)")
    expect(read).to_have_count(len(files), timeout=PATIENCE)


def send(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").set_input_files(files)
    page.get_by_role("button", name="Upload").click()


def come_back(page: Page) -> None:
    """As a browser that kept the page does; those that are driven keep none."""
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
