"""Every page that links lead to: readable for everybody, and never wider than the window."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser import send_to_new_slide, sign_up
from tests.test_browser import (  # noqa: F401  (fixtures)
    NARROW,
    OF_COLOURS,
    RULES,
    WIDE,
    ada,
    chromium,
    drawn,
    has_no_sideways_scroll,
    open_page,
    site,
    violations,
)

TWICE_AS_LARGE = {"width": WIDE["width"] // 2, "height": WIDE["height"] // 2}
"""What a window of 1280 pixels has left at 200 %."""
NO_PAGE = re.compile(r"\.(csv|pdf|json|js)$|^/(admin|static)/|/photo/$|/schema/|/plots/")
ONE_OF_A_KIND = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
LINKS = "links => links.map(link => link.getAttribute('href'))"

MADE_ADMINISTRATOR = (
    "from django.contrib.auth.models import User;"
    "User.objects.filter(username='crawler').update(is_staff=True, is_superuser=True)"
)
LEAST = {"anybody": 6, "administrator": 30}


def kind_of(address: str) -> str:
    """The same for each slide, version and so on."""
    return ONE_OF_A_KIND.sub("*", urlsplit(address).path)


def crawl(page: Page, *starts: str) -> Iterator[str]:
    """One page of each kind, opened."""
    waiting, seen = list(starts), set()
    while waiting:
        address = waiting.pop(0)
        if kind_of(address) in seen:
            continue
        seen.add(kind_of(address))
        page.goto(address)
        yield address
        found = page.locator("a[href^='/']").evaluate_all(LINKS)
        waiting += [link for link in found if not NO_PAGE.search(urlsplit(link).path)]


def signed_slide(page: Page, folder: Path) -> None:
    send_to_new_slide(page, "EVERY", *drawn(folder, 401, 402))
    page.get_by_role("link", name="Sign the report").click()
    page.get_by_role("button", name="Sign the report").click()
    expect(page.get_by_role("heading", name="Report 1")).to_be_visible()


def faults_of(page: Page, address: str) -> list[str]:
    found = []
    for viewport in (NARROW, TWICE_AS_LARGE, WIDE):
        page.set_viewport_size(viewport)
        if not has_no_sideways_scroll(page):
            found.append(f"{address} is wider than {viewport['width']} pixels")
    for colours, rules in (("light", RULES), ("dark", OF_COLOURS)):
        page.emulate_media(color_scheme=colours, reduced_motion="reduce")
        found += [f"{address} ({colours}) {fault}" for fault in violations(page, rules)]
    return found


@pytest.mark.parametrize("who", ["anybody", "administrator"])
def test_every_page_can_be_read_by_everybody(site, chromium, tmp_path, who):  # noqa: F811
    # The checker itself breaks the site's content security policy.
    with chromium.new_context(base_url=site.url, viewport=WIDE, bypass_csp=True) as context:
        page = context.new_page()
        starts = ["/", "/accounts/login/?next=/today/", "/nowhere/", "/api/v1/docs/"]
        if who == "administrator":
            sign_up(page, "crawler")
            site.manage("shell", "-v", "0", "-c", MADE_ADMINISTRATOR)
            signed_slide(page, tmp_path)
            starts = ["/today/", "/model/compare/?one=1&other=2", *starts]
        faults, pages = [], []
        for address in crawl(page, *starts):
            pages.append(kind_of(address))
            faults += faults_of(page, address)
    assert faults == []
    assert len(pages) >= LEAST[who], pages
