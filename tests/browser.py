"""The browser that tests and benchmarks drive, and how somebody becomes known to a site."""

import shutil

from playwright.sync_api import Page, expect

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
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
