"""The whole job in a real browser, against the real web server and a real worker."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    Route,
    expect,
    sync_playwright,
)

from ml.drawing import draw_cell
from tests.browser import (
    ARGUMENTS,
    CHROMIUM,
    PATIENCE,
    REGISTER,
    send,
    send_to_new_slide,
    sign_up,
)
from tests.conftest import missing
from tests.servers import Site

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
NARROW = {"width": 360, "height": 780}
EXPECTED = re.compile(
    r"net::ERR_(INTERNET_DISCONNECTED|CONNECTION_RESET)|status of 40[01349]|Failed to fetch"
)
ASKING = re.compile("every")


@pytest.fixture(scope="module")
def site(tmp_path_factory, prepared_var, trained_model):
    site = Site(tmp_path_factory.mktemp("browser"), prepared_var)
    site.manage("shell", "-v", "0", "-c", REGISTER.format(str(trained_model)))
    site.start_web()
    site.start_worker()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def chromium():
    if not CHROMIUM:
        missing("chromium is not installed")
    # Closed with the module: while it lives, Django takes this thread for an asynchronous one.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Watch:
    """What a page should never do: ask another host, complain, or break the site's own rules."""

    def __init__(self, page: Page) -> None:
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        page.on("request", self.note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self.listen)

    def note(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in ("data", "blob"):
            self.hosts.add(urlsplit(request.url).netloc)

    def listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not EXPECTED.search(message.text):
            self.complaints.append(message.text)


class Pages:
    """Called, it opens one in a context of its own."""

    def __init__(self, site: Site, chromium: Browser) -> None:
        self.site, self.chromium = site, chromium
        self.contexts: list[BrowserContext] = []
        self.watches: list[Watch] = []

    def __call__(self, **options: Any) -> Page:
        context = self.chromium.new_context(base_url=self.site.url, viewport=WIDE, **options)
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        self.watches.append(Watch(page))
        return page

    def last_words(self) -> str:
        pages = [page for context in self.contexts for page in context.pages]
        return "\n\n".join(f"{page.url}\n{page.locator('body').inner_text()}" for page in pages)

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        for watch in self.watches:
            assert watch.hosts <= {urlsplit(self.site.url).netloc}
            assert watch.complaints == []


@pytest.fixture
def open_page(site, chromium):
    pages = Pages(site, chromium)
    expect.set_options(timeout=PATIENCE)
    yield pages
    pages.close()


@pytest.fixture(scope="module")
def ada(site, chromium):
    """The cookies of somebody who signed up."""
    with chromium.new_context(base_url=site.url) as context:
        sign_up(context.new_page(), "ada")
        return context.storage_state()


def drawn(folder: Path, *seeds: int) -> list[Path]:
    paths = [folder / f"cell-{seed}.png" for seed in seeds]
    for seed, path in zip(seeds, paths, strict=True):
        draw_cell(seed, parasitized=seed % 2 == 1).save(path)
    return paths


def not_an_image(folder: Path) -> Path:
    path = folder / "letter.jpg"
    path.write_text("Dear colleague")
    return path


def has_no_sideways_scroll(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_main_job(open_page, tmp_path):
    page = open_page()
    sign_up(page, "grace")

    page.get_by_role("link", name="New slide").first.click()
    expect(page.locator("[name=code]")).to_be_focused()
    page.locator("[name=code]").fill("KSM-2026-1")
    page.locator("input[type=file]").set_input_files(
        [*drawn(tmp_path, 1, 2, 3), not_an_image(tmp_path)]
    )
    expect(page.locator(".file")).to_have_count(4)
    expect(page.locator(".file-picture img")).to_have_count(3)
    page.get_by_role("button", name="Upload").click()
    refused = page.locator(".file.refused")
    expect(refused).to_contain_text("letter.jpg")
    expect(refused).to_contain_text("not an image")
    expect(page.locator(".file.done")).to_have_count(3)

    page.get_by_role("link", name="Open the slide").click()
    expect(page.locator(".cell")).to_have_count(3)
    expect(page.locator(".cell.waiting")).to_have_count(0)
    expect(page.locator("#results")).not_to_have_attribute("hx-trigger", ASKING)
    expect(page.locator(".cell .probability")).to_have_count(3)
    expect(page.locator("#verdict")).to_contain_text("Research use only")

    page.get_by_role("link", name="Slides", exact=True).first.click()
    page.get_by_label("Code, note or file").fill("2026-1")
    expect(page).to_have_url(re.compile("q=2026-1"))
    expect(page.get_by_role("link", name="KSM-2026-1")).to_be_visible()

    page.locator("summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="A second pair of eyes")).to_be_visible()
    page.goto("/slides/")
    expect(page).to_have_url(re.compile("/accounts/login/"))


def test_results_fill_in_while_the_page_is_open(open_page, ada, site, tmp_path):
    page = open_page(storage_state=ada)
    page.goto("/slides/new/")
    page.locator("[name=code]").fill("WATCHED")
    for worker in list(site.workers):
        site.kill_worker(worker)
    send(page, *drawn(tmp_path, 11, 12))
    expect(page.locator(".cell.waiting")).to_have_count(2)
    more = page.locator("#files")
    more.scroll_into_view_if_needed()
    before = more.bounding_box()["y"]
    page.evaluate("window.stays = true")

    site.start_worker()
    expect(page.locator(".cell.waiting")).to_have_count(0)
    expect(page.locator("#announcement")).to_contain_text("All images read")
    assert page.evaluate("window.stays") is True
    # What is looked at stays where it is, though cards above it grow.
    assert abs(more.bounding_box()["y"] - before) < 200

    page.get_by_role("button", name="All heatmaps").click()
    expect(page.locator(".cell img.heat")).to_have_count(2)
    more.set_input_files(drawn(tmp_path, 13))
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".cell:not(.waiting)")).to_have_count(3)
    expect(page.locator(".cell img.heat")).to_have_count(3)


def test_what_arrives_while_an_answer_is_on_its_way_is_shown_too(open_page, ada, tmp_path):
    page = open_page(storage_state=ada)
    first, second, third = drawn(tmp_path, 15, 16, 17)
    send_to_new_slide(page, "BEFORE", first, second)
    send_to_new_slide(page, "AGAIN", third)
    held: list[Route] = []
    page.route("**/results/**", lambda route: route.continue_() if held else held.append(route))

    # Both were read before: the page has nothing to wait for, and asks for no more by itself.
    with page.expect_request("**/results/**"):
        send(page, first)
    page.wait_for_timeout(100)  # or the route has not heard of it yet
    answer = held[0].fetch()
    send(page, second)
    expect(page.locator(".file.done")).to_have_count(2)
    held[0].fulfill(response=answer)
    expect(page.locator(".cell:not(.waiting)")).to_have_count(3)


def slow_down(page: Page) -> None:
    """As a line over a satellite."""
    line = {"offline": False, "latency": 700, "downloadThroughput": -1, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", line)


def test_what_is_chosen_while_words_are_looked_for_narrows_too(open_page, ada):
    page = open_page(storage_state=ada)
    page.goto("/slides/")
    slow_down(page)
    with page.expect_request(lambda request: "q=KSM" in request.url):
        page.get_by_label("Code, note or file").press_sequentially("KSM")
    page.keyboard.press("Tab")
    page.get_by_label("Result").select_option("positive")
    expect(page).to_have_url(re.compile("q=KSM.*result=positive"), timeout=10_000)


def test_an_answer_that_was_asked_before_a_filter_does_not_undo_it(open_page, ada, site, tmp_path):
    page = open_page(storage_state=ada)
    first, second, third = drawn(tmp_path, 33, 34, 35)
    send_to_new_slide(page, "NARROWED", first, second)
    site.kill_worker()
    send(page, third)
    page.get_by_role("link", name="All 3").wait_for()
    held: list[Route] = []

    def hold(route: Route) -> None:
        if held or "show=" in route.request.url:
            return route.fallback()
        held.append(route)

    page.route("**/results/**", hold)
    while not held:
        page.wait_for_timeout(100)
    answer = held[0].fetch(url=held[0].request.url.split("?")[0])  # as if one more were read
    chip = page.locator("#chips a").nth(1)
    chip.click()
    expect(chip).to_have_attribute("aria-current", "true")
    with suppress(Error):  # nobody waits for it any more
        held[0].fulfill(response=answer)
    page.wait_for_timeout(500)
    expect(chip).to_have_attribute("aria-current", "true")
    assert page.locator(".cell").count() < 3
    site.start_worker()


def test_images_are_seen_large_by_mouse_and_keyboard(open_page, ada, tmp_path):
    page = open_page(storage_state=ada)
    send_to_new_slide(page, "LARGE", *drawn(tmp_path, 21, 22))
    page.locator(".cell .photo").first.click()
    viewer = page.locator("#viewer")
    expect(viewer).to_contain_text("1 of 2")
    page.keyboard.press("ArrowRight")
    expect(viewer).to_contain_text("2 of 2")
    page.keyboard.press("h")
    expect(viewer.locator("img.heat")).to_be_visible()
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(page.locator(".cell .photo").nth(1)).to_be_focused()


def test_a_lost_file_is_kept_and_sent_again(open_page, ada, tmp_path):
    page = open_page(storage_state=ada)
    page.goto("/slides/new/")
    page.locator("[name=code]").fill("LINE-DROPS")
    page.locator("input[type=file]").set_input_files(drawn(tmp_path, 31, 32))
    page.context.set_offline(True)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("Nothing was sent yet; the files are still here")).to_be_visible()
    page.context.set_offline(False)

    page.route("**/images/", lambda route: route.abort("connectionreset"), times=1)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".file.lost")).to_have_count(1)
    expect(page.locator(".file.lost")).to_contain_text("The connection was lost")
    page.get_by_role("button", name="Send again").click()
    expect(page).to_have_url(re.compile("/slides/[0-9a-f-]{36}/"))
    expect(page.locator(".cell")).to_have_count(2)


def test_a_code_that_is_taken_leads_to_its_slide(open_page, ada, tmp_path):
    page = open_page(storage_state=ada)
    send_to_new_slide(page, "TAKEN", *drawn(tmp_path, 34))
    slide = page.url
    page.goto("/slides/new/")
    page.locator("[name=code]").fill("TAKEN")
    send(page, *drawn(tmp_path, 35))
    refusal = page.locator("[data-errors=code]")
    expect(refusal).to_have_text("Slide TAKEN exists already.")
    refusal.get_by_role("link", name="TAKEN").click()
    expect(page).to_have_url(slide)


def test_a_second_click_makes_no_second_slide(open_page, ada, tmp_path):
    page = open_page(storage_state=ada)
    page.goto("/slides/new/")
    page.locator("[name=code]").fill("TWICE")
    page.locator("input[type=file]").set_input_files(drawn(tmp_path, 36))
    asked: list[Route] = []
    page.route("**/slides/new/", lambda route: asked.append(route))
    page.get_by_role("button", name="Upload").dblclick()
    expect(page.get_by_role("button", name="Upload")).to_be_disabled()
    page.wait_for_timeout(300)
    assert len(asked) == 1
    asked[0].continue_()
    expect(page.locator(".cell")).to_have_count(1)


def test_files_are_not_credited_to_whoever_signed_in_meanwhile(open_page, ada, tmp_path):
    page, other = open_page(storage_state=ada), open_page()
    send_to_new_slide(page, "WHOSE", *drawn(tmp_path, 37))
    slide = page.url
    sign_up(other, "edith")
    signed_out = page.get_by_text("You are signed out. Sign in in another tab, then send again.")
    for address in ("/slides/new/", slide):
        page.goto(address)
        page.context.add_cookies(other.context.cookies())
        for code in page.locator("[name=code]").all():
            code.fill("WHOSE-2")
        send(page, *drawn(tmp_path, 38))
        expect(signed_out).to_be_visible()
        page.context.add_cookies(ada["cookies"])


def test_what_the_site_cannot_take_just_now_is_sent_again(open_page, ada, tmp_path):
    page = open_page(storage_state=ada)
    page.goto("/slides/new/")
    page.locator("[name=code]").fill("BUSY")
    page.locator("input[type=file]").set_input_files(drawn(tmp_path, 33))
    words = "Too many images arrive at this moment: send this one again."
    receipt = {"name": "cell-33.png", "image": None, "refusal": words, "note": "", "code": "busy"}
    page.route("**/images/", lambda route: route.fulfill(json={"receipts": [receipt]}), times=1)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".file.lost")).to_contain_text(words)
    page.get_by_role("button", name="Send again").click()
    expect(page.locator(".cell")).to_have_count(1)


def test_without_javascript_a_plain_form_does_it(open_page, ada, tmp_path):
    page = open_page(java_script_enabled=False, storage_state=ada)
    page.goto("/slides/new/")
    page.locator("[name=code]").fill("PLAIN")
    page.locator("input[type=file]").set_input_files([*drawn(tmp_path, 41), not_an_image(tmp_path)])
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("1 of 2 files received")).to_be_visible()
    expect(page.get_by_text("letter.jpg: This is not an image")).to_be_visible()
    expect(page.locator(".cell")).to_have_count(1)


def test_light_or_dark_is_remembered_from_the_first_paint(open_page):
    page = open_page(color_scheme="light")
    page.goto("/")
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert 'data-theme="dark"' in page.request.get("/").text()
    page.get_by_role("button", name="Light or dark").click()
    assert "data-theme" not in page.request.get("/").text().partition(">")[2][:40]


@pytest.mark.parametrize(
    ("name", "heading", "ready"),
    [
        ("Français", "Nouvelle lame", "2 fichiers prêts à envoyer"),
        ("Português", "Nova lâmina", "2 ficheiros prontos a enviar"),
    ],
)
def test_a_language_is_chosen_by_keyboard_and_scripts_speak_it(
    open_page, ada, tmp_path, name, heading, ready
):
    page = open_page(storage_state=ada)
    page.goto("/slides/new/")
    page.get_by_role("button", name=name).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    page.locator("input[type=file]").set_input_files(drawn(tmp_path, 1, 2))
    expect(page.locator("[data-text-total]")).to_have_text(ready)
    assert has_no_sideways_scroll(page)


def test_files_that_are_chosen_before_the_script_arrives_are_taken(open_page, ada, tmp_path):
    page, held = open_page(storage_state=ada), []
    page.route("**/upload*.js", lambda route: held.append(route))
    page.goto("/slides/new/", wait_until="commit")
    page.locator("input[type=file]").set_input_files(drawn(tmp_path, 1, 2))
    expect(page.locator("[data-text-total]")).to_be_empty()
    held[0].continue_()
    expect(page.locator("[data-text-total]")).to_have_text("2 files ready to send")


def test_a_lost_connection_is_said_while_results_are_awaited(open_page, ada, site, tmp_path):
    page = open_page(storage_state=ada)
    for worker in list(site.workers):
        site.kill_worker(worker)
    page.goto("/slides/new/")
    page.locator("[name=code]").fill("AWAITED")
    send(page, *drawn(tmp_path, 61))
    expect(page.locator(".cell.waiting")).to_have_count(1)
    page.context.set_offline(True)
    expect(page.get_by_text("The connection is lost")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("The connection is lost")).to_be_hidden()
    site.start_worker()
    expect(page.locator(".cell.waiting")).to_have_count(0)


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_pages_follow_the_rules_of_accessibility(site, chromium, ada, tmp_path, colours):
    options = {"base_url": site.url, "color_scheme": colours, "viewport": WIDE}
    # The checker itself breaks the site's content security policy.
    with chromium.new_context(**options, storage_state=ada, bypass_csp=True) as context:
        page = context.new_page()
        send_to_new_slide(page, f"RULES-{colours}", *drawn(tmp_path, 71, 72, 73, 74))
        slide = page.url
        assert violations(page) == []
        page.locator(".cell .photo").first.click()
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Sign the report").click()
        page.wait_for_url("**/sign/")
        assert violations(page) == []
        page.get_by_role("button", name="Sign the report").click()
        page.get_by_role("link", name="Amend the report").click()
        page.wait_for_url("**/amend/")
        assert violations(page) == []
        page.go_back()
        assert violations(page) == []
        page.goto("/slides/?q=nowhere")
        assert violations(page) == []
        choose_language(page, LANGUAGE_IN[colours])
        for address in (slide, "/today/", "/slides/", "/accounts/notifications/"):
            page.goto(address)
            assert violations(page) == [], address


LANGUAGE_IN = {"light": "fr", "dark": "pt"}
"""Colours do not depend on words: one language in each is enough."""


def choose_language(page: Page, language: str) -> None:
    page.locator(f"form.languages button[value={language}]").click()
    expect(page.locator("html")).to_have_attribute("lang", language)


RULES = {"rules": {"target-size": {"enabled": True}}}
"""The one rule of WCAG 2.2 at level AA that axe leaves out unless it is asked."""


OF_COLOURS = {"runOnly": ["color-contrast"]}


def violations(page: Page, rules: dict[str, Any] = RULES) -> list[str]:
    found = Axe().run(page, options=rules).response
    assert len(found["passes"]) > (10 if rules == RULES else 0)
    return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found["violations"]]


def test_a_report_is_signed_by_keyboard_and_a_review_says_that_the_slide_changed(
    open_page, ada, tmp_path
):
    page = open_page(storage_state=ada)
    page.set_viewport_size(PHONE)
    page.goto("/slides/new/")
    page.locator("[name=code]").fill("SIGNED")
    send(page, *drawn(tmp_path, 81))
    page.get_by_role("link", name="Sign the report").press("Enter")
    page.locator("[name=comment]").press_sequentially("The ward was told.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Report 1 of SIGNED is signed.")).to_be_visible()
    expect(page.get_by_text("The ward was told.")).to_be_visible()
    expect(page.locator(".messages").first).to_have_css("margin-bottom", "20px")
    assert has_no_sideways_scroll(page)
    page.get_by_role("link", name="SIGNED").click()
    expect(page.get_by_text("signed by ada on")).to_be_visible()
    page.get_by_role("button", name="Cannot tell").click()
    expect(page.get_by_text("The slide has changed since it was signed")).to_be_visible()
    page.get_by_role("link", name="Amend the report").click()
    page.get_by_label("Reason").fill("A person looked at the cell.")
    page.get_by_role("button", name="Sign the amended report").click()
    page.get_by_role("link", name="Report 1").click()
    expect(page.get_by_text("This report was amended.")).to_be_visible()


COVERED = """() => {
    const { activeElement: focused } = document;
    const bars = [...document.querySelectorAll(".places, .send-bar")];
    if (!focused.closest("main") || bars.some((bar) => bar.contains(focused))) return [];
    const end = Math.min(...bars.map((bar) => bar.getBoundingClientRect().top));
    return focused.getBoundingClientRect().bottom > end ? [focused.outerHTML] : [];
}"""


def test_what_has_the_focus_on_a_phone_is_below_no_bar(open_page, ada, tmp_path):
    page = open_page(storage_state=ada)
    page.set_viewport_size(PHONE)
    for address in ("/model/", "/slides/new/"):
        page.goto(address)
        for files in page.locator("input[type=file]").all():
            files.set_input_files(drawn(tmp_path, *range(90, 102)))
        page.locator("#content").focus()
        covered = []
        for _tab in range(30):
            page.keyboard.press("Tab")
            covered += page.evaluate(COVERED)
        assert covered == [], address


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_long_names_make_nothing_scroll_sideways(open_page, ada, tmp_path, viewport):
    page = open_page(storage_state=ada)
    page.set_viewport_size(viewport)
    page.goto("/slides/new/")
    long = tmp_path / f"{'a-very-long-name-' * 8}.png"
    drawn(tmp_path, 51)[0].rename(long)
    page.locator("[name=code]").fill(f"X{viewport['width']}".ljust(40, "X"))
    page.locator("[name=note]").fill("word " * 50)
    page.locator("input[type=file]").set_input_files(long)
    assert has_no_sideways_scroll(page)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".cell:not(.waiting)")).to_have_count(1)
    assert has_no_sideways_scroll(page)
    page.goto("/slides/")
    assert has_no_sideways_scroll(page)


def test_files_being_sent_make_nothing_scroll_sideways(open_page, ada, tmp_path):
    page = open_page(storage_state=ada)
    page.set_viewport_size(NARROW)
    page.goto("/slides/new/")
    page.locator("[name=code]").fill("SLOW")
    long = tmp_path / f"{'a-very-long-name-' * 8}.png"
    drawn(tmp_path, 52)[0].rename(long)
    held: list[Route] = []
    page.route("**/images/", lambda route: held.append(route))
    send(page, long)
    expect(page.locator(".file-state")).to_contain_text("%")
    assert has_no_sideways_scroll(page)
    held[0].continue_()
    expect(page.locator(".cell")).to_have_count(1)


ROOM = """input => {
    const room = input.offsetWidth;
    input.style.width = "max-content";
    return room - input.offsetWidth;
}"""


def test_dates_have_room_on_a_narrow_phone(open_page, ada):
    page = open_page(storage_state=ada)
    for width in (320, 360):
        page.set_viewport_size(NARROW | {"width": width})
        page.goto("/slides/")
        assert page.locator("[name=since]").evaluate(ROOM) >= 0, width
