"""The review desk in a real browser: by keyboard, without a connection, and undone again."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser import come_back, send_to_new_slide
from tests.servers import Site
from tests.test_browser import (  # noqa: F401  (fixtures)
    ada,
    chromium,
    drawn,
    open_page,
    violations,
)

REVIEWS = re.compile(r"/review/")


@pytest.fixture(scope="module")
def site(tmp_path_factory, prepared_var):
    """With the shipped model: what it says of drawn cells is what was drawn."""
    site = Site(tmp_path_factory.mktemp("desk"), prepared_var)
    site.start_web()
    site.start_worker()
    yield site
    site.stop()


@pytest.fixture
def open_slide(open_page, ada, tmp_path, request):  # noqa: F811
    def new(**options):
        page = open_page(storage_state=ada, **options)
        send_to_new_slide(page, f"D-{abs(hash(request.node.name))}", *drawn(tmp_path, 1, 2, 3))
        page.wait_for_load_state("load")
        page.route(REVIEWS, lambda route: route.fallback())
        return page

    return new


def said(page: Page, place: int = 0):
    """What is pressed on a card."""
    return page.locator("#cells .cell").nth(place).locator("button[aria-pressed=true][name=label]")


def press_and_wait(page: Page, key: str) -> None:
    with page.expect_response(REVIEWS):
        page.keyboard.press(key)


def test_a_slide_is_reviewed_undone_and_done_again_by_keyboard(open_slide):
    page = open_slide()
    page.keyboard.press("n")
    press_and_wait(page, "2")
    expect(said(page)).to_have_attribute("value", "uninfected")
    expect(page.locator(".cell .reviews")).to_contain_text("ada says uninfected")
    press_and_wait(page, "z")
    expect(said(page)).to_have_count(0)
    expect(page.locator(".cell .reviews")).to_have_count(0)
    press_and_wait(page, "y")
    expect(said(page)).to_have_attribute("value", "uninfected")
    press_and_wait(page, "Delete")
    expect(said(page)).to_have_count(0)
    press_and_wait(page, "a")
    expect(said(page)).to_have_attribute("value", "parasitized")


def test_what_is_chosen_is_seen_where_colours_are_forced(open_slide):
    page = open_slide(forced_colors="active")
    places = page.locator(".places a")
    ground = "link => getComputedStyle(link).backgroundColor"
    chosen = page.locator(".places [aria-current]").evaluate(ground)
    assert [link.evaluate(ground) for link in places.all()].count(chosen) == 1


def test_digits_of_a_french_keyboard_need_no_shift(open_slide):
    page = open_slide()
    page.keyboard.press("n")
    keyboard = page.context.new_cdp_session(page)
    for code, typed, opinion in (
        ("Digit1", "&", "parasitized"),
        ("Digit2", "é", "uninfected"),
        ("Digit3", '"', "cannot-tell"),
        ("Numpad2", "2", "uninfected"),
    ):
        with page.expect_response(REVIEWS):
            pressed = {"type": "keyDown", "code": code, "key": typed, "text": typed}
            keyboard.send("Input.dispatchKeyEvent", pressed)
        expect(said(page)).to_have_attribute("value", opinion)
    page.keyboard.press("Shift+Digit3")  # another sign, on keyboards that need no Shift for digits
    expect(said(page)).to_have_attribute("value", "uninfected")


def test_a_note_is_kept_with_the_answer_when_one_leaves_it(open_slide):
    page = open_slide()
    page.keyboard.press("n")
    press_and_wait(page, "3")
    page.keyboard.press("c")
    page.keyboard.type("a platelet?")
    press_and_wait(page, "Tab")
    expect(page.locator(".cell .remark")).to_have_text("a platelet?")
    page.reload()
    expect(page.locator(".cell .remark")).to_have_text("a platelet?")


def test_a_note_that_is_written_while_the_answer_arrives_is_kept(open_slide):
    page = open_slide()
    page.route(REVIEWS, lambda route: (page.wait_for_timeout(500), route.fallback()))
    page.keyboard.press("n")
    page.keyboard.press("3")
    page.keyboard.press("c")
    with page.expect_response(REVIEWS) as answered:
        page.keyboard.type("a pla")
    answered.value.finished()
    page.keyboard.type("telet?")
    page.keyboard.press("Tab")
    expect(page.locator(".cell .remark")).to_have_text("a platelet?")


def answer_slowly(page: Page) -> None:
    def wait(route: Route) -> None:
        page.wait_for_timeout(600)
        route.fallback()

    page.route(REVIEWS, wait)


def write_while_it_is_answered(page: Page, text: str) -> None:
    page.keyboard.press("c")
    half = len(text) // 2
    with page.expect_response(REVIEWS) as answered:
        page.keyboard.type(text[:half])
    answered.value.finished()
    page.wait_for_timeout(200)
    page.keyboard.type(text[half:])


def test_what_is_written_beside_a_large_image_while_it_is_answered_says_nothing_else(open_slide):
    page = open_slide()
    page.keyboard.press("n")
    page.keyboard.press("o")
    answer_slowly(page)
    page.keyboard.press("1")
    write_while_it_is_answered(page, "ring 2 of 3")
    page.keyboard.press("Tab")
    expect(page.locator("#cells .remark")).to_have_text("ring 2 of 3")
    expect(page.locator("#viewer .remark")).to_have_text("ring 2 of 3")
    expect(said(page)).to_have_attribute("value", "parasitized")
    expect(page.locator(".cell .reviews")).to_have_count(1)


def test_what_is_written_in_one_card_while_another_is_answered_says_nothing(open_slide):
    page = open_slide()
    page.keyboard.press("j")
    answer_slowly(page)
    page.keyboard.press("1")
    page.keyboard.press("j")
    write_while_it_is_answered(page, "see field 2 again")
    note = page.locator("#cells .cell").nth(1).locator("[name=comment]")
    expect(note).to_have_value("see field 2 again")
    expect(said(page)).to_have_attribute("value", "parasitized")
    expect(said(page, 1)).to_have_count(0)
    expect(page.locator(".cell .reviews")).to_have_count(1)


def test_counts_are_new_while_a_note_is_written(open_slide):
    page = open_slide()
    page.keyboard.press("j")
    answer_slowly(page)
    page.keyboard.press("3")
    write_while_it_is_answered(page, "a platelet?")
    expect(page.locator("#chips")).to_contain_text("Uncertain 1")
    page.unroute(REVIEWS)
    # What is pressed to leave the note is pressed, though the card is drawn anew.
    page.locator("#cells .cell").first.get_by_role("button", name="Uninfected").click()
    expect(said(page)).to_have_attribute("value", "uninfected")
    expect(page.locator(".cell .remark")).to_have_text("a platelet?")


def test_a_note_beside_a_large_image_goes_with_an_answer_in_its_card(open_slide):
    page = open_slide()
    page.keyboard.press("n")
    page.keyboard.press("o")
    page.keyboard.press("c")
    page.keyboard.type("ring form")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    press_and_wait(page, "1")
    expect(page.locator("#cells .remark")).to_have_text("ring form")
    page.keyboard.press("o")
    expect(page.locator("#viewer .remark")).to_have_text("ring form")


def test_a_note_before_an_answer_is_kept_and_goes_with_it(open_slide):
    page = open_slide()
    page.keyboard.press("n")
    page.keyboard.press("c")
    page.keyboard.type("a platelet?")
    page.keyboard.press("Tab")
    expect(page.locator("[data-say]")).to_contain_text("kept in this browser alone")
    page.reload()
    note = page.locator("#cells .cell").first.locator("[name=comment]")
    expect(note).to_have_value("a platelet?")
    page.keyboard.press("n")
    press_and_wait(page, "3")
    expect(page.locator(".cell .remark")).to_have_text("a platelet?")
    assert page.evaluate("localStorage.length") == 0


SAID_BELOW = "form => getComputedStyle(form, '::after').content"


def test_opinions_without_a_connection_are_kept_in_order_and_sent_once(open_slide):
    page = open_slide()
    posted = []
    page.on("request", lambda request: posted.append(request.url))
    page.context.set_offline(True)
    page.keyboard.press("j")
    page.keyboard.press("2")
    page.keyboard.press("j")
    page.keyboard.press("3")
    unsent = page.locator("[data-unsent][role=status]")
    expect(unsent).to_contain_text("The connection is lost. 2 opinions are kept on this computer")
    expect(said(page)).to_have_attribute("value", "uninfected")
    forms = page.locator("#cells form[data-unsent]")
    assert forms.count() == 2
    assert forms.first.evaluate(SAID_BELOW) == '"Not saved yet"'
    posted.clear()
    page.context.set_offline(False)
    expect(unsent).to_be_hidden()
    expect(page.locator(".cell .reviews")).to_have_count(2)
    assert len([url for url in posted if "/review/" in url]) <= 3
    page.reload()
    expect(page.locator(".cell .reviews")).to_have_count(2)
    assert page.evaluate("localStorage.length") == 0


def test_the_last_word_of_two_tabs_counts(open_slide):
    page = open_slide()
    page.route(REVIEWS, lambda route: route.abort("connectionreset"))
    page.keyboard.press("n")
    page.keyboard.press("1")
    expect(page.locator("[data-unsent][role=status]")).to_be_visible()
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator(".cell .reviews")).to_be_visible()
    other.keyboard.press("j")
    press_and_wait(other, "2")
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url))
    page.unroute(REVIEWS)
    expect(page.locator("[data-unsent][role=status]")).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('online'))")
    page.reload()
    expect(page.locator(".cell .reviews")).to_contain_text("says uninfected")
    assert not [url for url in posted if "/review/" in url]


def test_whoever_leaves_offline_is_told_on_every_page(open_slide):
    page = open_slide()
    code = page.title().split(" · ")[0]
    page.route(REVIEWS, lambda route: route.abort("connectionreset"))
    page.keyboard.press("n")
    page.keyboard.press("2")
    expect(page.locator("[data-unsent][role=status]")).to_be_visible()
    expect(page.locator("[data-elsewhere]")).to_be_hidden()
    page.once("dialog", lambda dialog: dialog.accept())
    page.goto("/today/")
    told = page.locator("[data-elsewhere]")
    expect(told).to_contain_text("1 opinion is kept in this browser and not sent yet.")

    asked = []
    page.once("dialog", lambda dialog: asked.append(dialog.message) or dialog.dismiss())  # type: ignore[func-returns-value]
    page.get_by_label("Your account").click()
    page.get_by_role("button", name="Sign out").click()
    assert asked
    assert asked[0].startswith("1 opinion of yours is not sent yet.")
    expect(page).to_have_url(re.compile("/today/$"))

    cookies = page.context.cookies()
    page.context.clear_cookies(name="sessionid")
    page.goto("/accounts/login/")
    expect(told).to_contain_text("Sign in, and open its page to send it.")
    expect(told.get_by_role("link")).to_have_count(0)
    expect(told.get_by_role("button")).to_have_count(0)
    page.context.add_cookies(cookies)
    page.goto("/today/")
    page.unroute(REVIEWS)
    told.get_by_role("link", name=code).click()
    expect(page.locator(".cell .reviews")).to_contain_text("says uninfected")
    page.goto("/today/")
    expect(told).to_be_hidden()


KEEP = """items => {
    const { who } = document.querySelector("[data-elsewhere]").dataset;
    localStorage.setItem(`unsent:${who}:a-slide`, JSON.stringify(items));
}"""
KEPT = "Object.values(localStorage).flatMap(JSON.parse).map(({ key }) => key)"


def test_opinions_that_nothing_takes_any_more_are_discarded(open_page, ada):  # noqa: F811
    page = open_page(storage_state=ada)
    page.goto("/today/")
    gone = [{"key": f"gone-{n}", "at": "/slides/gone/", "title": "KSM-9"} for n in (1, 2)]
    page.evaluate(KEEP, [{"key": "here", "at": "/today/", "title": "Today"}, *gone])
    page.reload()
    told = page.locator("[data-elsewhere]")
    expect(told).to_contain_text("2 opinions are kept in this browser")
    discard, asked = told.get_by_role("button", name="Discard"), []
    page.once("dialog", lambda dialog: asked.append(dialog.message) or dialog.dismiss())  # type: ignore[func-returns-value]
    discard.click()
    assert asked == ["2 opinions on KSM-9 were never sent. Discard them for good?"]
    assert len(page.evaluate(KEPT)) == 3
    page.once("dialog", lambda dialog: dialog.accept())
    discard.click()
    expect(told).to_be_hidden()
    assert page.evaluate(KEPT) == ["here"]


def test_opinions_survive_a_reload_and_leaving_warns(open_slide):
    page = open_slide()
    page.route(REVIEWS, lambda route: route.abort("connectionreset"))
    page.keyboard.press("n")
    page.keyboard.press("2")
    expect(page.locator("[data-unsent][role=status]")).to_be_visible()
    asked = []
    page.on("dialog", lambda dialog: asked.append(dialog.type) or dialog.accept())  # type: ignore[func-returns-value]
    page.unroute(REVIEWS)
    with page.expect_response(REVIEWS):
        page.reload()
    assert asked == ["beforeunload"]
    expect(page.locator(".cell .reviews")).to_contain_text("says uninfected")


def send_now(page):
    """No click: on a slow machine the page may have sent it by itself, and hidden the button."""
    page.get_by_text("Send now").dispatch_event("click")


def test_whoever_is_signed_out_is_told_and_loses_nothing(open_slide):
    page = open_slide()
    cookies = page.context.cookies()
    page.context.clear_cookies(name="sessionid")
    page.keyboard.press("n")
    page.keyboard.press("2")
    expect(page.locator("[data-unsent][role=status]")).to_contain_text("You are signed out")
    page.context.add_cookies(cookies)
    send_now(page)
    expect(page.locator(".cell .reviews")).to_contain_text("says uninfected")


def test_what_the_server_refuses_is_said_and_shown_as_it_was(open_slide):
    page = open_slide()
    page.route(REVIEWS, lambda route: route.fulfill(status=404, body="Your reading is closed."))
    page.keyboard.press("n")
    page.keyboard.press("2")
    expect(page.locator("[data-say]")).to_have_text("Not kept: Your reading is closed.")
    expect(said(page)).to_have_count(0)
    expect(page.locator("[data-unsent][role=status]")).to_be_hidden()


def test_what_waits_appears_on_an_open_page(open_page, ada, open_slide):  # noqa: F811
    page = open_page(storage_state=ada)
    page.clock.install()
    other = open_slide()
    page.goto("/today/")
    waits, asked = page.locator("#waits + .why"), []
    before = waits.inner_text()
    page.on("request", lambda request: asked.append(request))
    for _positive in range(2):
        other.keyboard.press("n")
        press_and_wait(other, "2")
    expect(waits).to_have_text(before, use_inner_text=True)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.clock.fast_forward(200_000)
    page.wait_for_timeout(500)
    assert asked == []
    page.evaluate("delete document.hidden")
    page.clock.fast_forward(70_000)
    expect(waits).not_to_have_text(before, use_inner_text=True)
    assert sorted(request.url.split("?")[0].split("/", 3)[3] for request in asked) == [
        "notifications/bell/",
        "today/tray/",
    ]
    assert all(request.headers["x-by-itself"] == "yes" for request in asked)


READING = re.compile(r"/reading/$")


def test_a_refused_conclusion_is_said_and_its_comment_stays(open_slide):
    page = open_slide()
    said, refuse = page.locator("[data-say]"), {"error": "Images are still being read."}
    page.route(READING, lambda route: route.fulfill(status=409, json=refuse))
    page.get_by_label("Comment").fill("two rings in field 3")
    page.get_by_role("radio", name="Positive").click()
    expect(said).to_have_text("Not kept: Images are still being read.")
    page.wait_for_timeout(500)
    expect(said).to_have_text("Not kept: Images are still being read.")
    expect(page.get_by_label("Comment")).to_have_value("two rings in field 3")
    expect(page.get_by_role("radio", name="Positive")).not_to_be_checked()
    page.unroute(READING)
    page.get_by_role("radio", name="Positive").check()
    expect(page.locator("#concluded")).to_contain_text("ada concludes: positive")
    expect(page.locator("#concluded")).to_contain_text("two rings in field 3")


def test_an_answer_that_is_none_of_ours_keeps_the_opinion(open_slide):
    page = open_slide()
    page.route(REVIEWS, lambda route: route.fulfill(status=200, body="<h1>Sign in to Wi-Fi</h1>"))
    page.keyboard.press("n")
    page.keyboard.press("2")
    unsent = page.locator("[data-unsent][role=status]")
    expect(unsent).to_contain_text("The server could not take it just now.")
    page.unroute(REVIEWS)
    send_now(page)
    expect(page.locator(".cell .reviews")).to_contain_text("says uninfected")


def test_a_conclusion_is_kept_when_it_is_chosen(open_slide):
    page = open_slide()
    page.context.set_offline(True)
    page.keyboard.press("w")
    page.keyboard.press("Space")
    expect(page.locator("[data-unsent][role=status]")).to_contain_text("1 opinion is kept")
    page.context.set_offline(False)
    expect(page.locator("[data-unsent][role=status]")).to_be_hidden()
    page.reload()
    expect(page.locator("#reading")).to_contain_text("ada concludes: positive")


def test_a_conclusion_is_shown_at_once_undone_and_cleared(open_slide):
    page = open_slide()
    said, positive = page.locator("#concluded"), page.get_by_role("radio", name="Positive")
    page.keyboard.press("w")
    page.keyboard.press("Space")
    expect(said).to_contain_text("ada concludes: positive")
    expect(page.locator("[data-say]")).to_have_text("Kept.")
    expect(page.locator("#verdict")).to_contain_text("Concluded positive by a person.")
    page.keyboard.press("z")
    expect(said).to_contain_text("ada has not concluded yet")
    expect(positive).not_to_be_checked()
    expect(page.locator("#verdict")).not_to_contain_text("Concluded positive")
    page.keyboard.press("y")
    expect(said).to_contain_text("ada concludes: positive")
    expect(positive).to_be_checked()
    page.get_by_role("button", name="No conclusion").click()
    expect(said).to_contain_text("ada has not concluded yet")
    expect(page.get_by_role("button", name="No conclusion")).to_be_hidden()
    page.reload()
    expect(positive).not_to_be_checked()


def test_a_large_image_is_reviewed_by_the_same_keys(open_slide):
    page = open_slide()
    page.keyboard.press("n")
    page.keyboard.press("o")
    viewer = page.locator("#viewer")
    expect(viewer).to_be_visible()
    press_and_wait(page, "3")
    expect(viewer.locator("button[name=label][aria-pressed=true]")).to_have_text("Cannot tell")
    page.keyboard.press("j")
    expect(viewer).to_contain_text("2 of 3")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_all_keys_are_shown_and_the_page_follows_the_rules(open_slide, colours):
    page = open_slide(color_scheme=colours, bypass_csp=True)
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys.locator("dt")).to_have_count(16)
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.route(REVIEWS, lambda route: route.abort("connectionreset"))
    page.keyboard.press("n")
    page.keyboard.press("2")
    expect(page.locator("[data-unsent][role=status]")).to_be_visible()
    assert violations(page) == []
    page.unroute(REVIEWS)
    send_now(page)
    expect(page.locator("[data-unsent][role=status]")).to_be_hidden()


def test_words_of_a_conclusion_wait_for_a_second_factor_and_outlive_a_reload(open_slide):
    page = open_slide()
    comment = page.get_by_label("Comment")
    asked = {"error": "This site asks you for a second factor.", "waits": True}
    page.route(READING, lambda route: route.fulfill(status=403, json=asked))
    comment.fill("A ring in field 3.")
    comment.press("Tab")
    bar = page.locator("[data-unsent][role=status]")
    expect(bar).to_contain_text("asks you for a second factor. 1 opinion is kept")
    page.unroute(READING)
    send_now(page)
    expect(page.locator("#concluded")).to_contain_text("A ring in field 3.")
    comment.press("End")
    comment.press_sequentially(" And a")
    page.reload()
    expect(comment).to_have_value("A ring in field 3. And a")
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("#concluded")).to_contain_text("A ring in field 3. And a")
    page.reload()
    page.route(READING, lambda route: route.fulfill(status=409, json={"error": "It is closed."}))
    comment.fill("Too late")
    comment.press("Tab")
    expect(page.locator("[data-say]")).to_contain_text("Not kept: It is closed.")
    page.reload()
    expect(comment).to_have_value("Too late")


def test_a_page_to_which_one_comes_back_says_what_is_true_now(open_slide, tmp_path):
    page = open_slide()
    history, other = page.context.new_page(), page.context.new_page()
    history.goto("/slides/")
    other.goto(page.url)
    other.keyboard.press("n")
    press_and_wait(other, "2")
    first = history.locator(".slides > li").first
    expect(first).to_contain_text("2 of 3 cells")
    come_back(history)
    expect(first).to_contain_text("1 of 3 cells")
    page.locator("#files").set_input_files(tmp_path / "cell-1.png")
    come_back(page)
    expect(page.locator("#verdict")).to_contain_text("1 of 3 cells")
    expect(page.locator(".file")).to_have_count(1)
    page.get_by_role("button", name="Remove").click()
    come_back(page)
    expect(page.locator(".cell .reviews")).to_contain_text("ada says uninfected")
    page.wait_for_load_state("load")
    page.context.clear_cookies()
    come_back(page)
    expect(page).to_have_url(re.compile("/accounts/login/"))
