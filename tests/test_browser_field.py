"""The page of a whole field in a real browser: seen, walked through and reviewed."""

import json
import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from ml.drawing import draw_field
from tests.browser import come_back, send_to_new_slide
from tests.servers import ROOT, Site
from tests.test_browser import (  # noqa: F401
    LANGUAGE_IN,
    NARROW,
    PHONE,
    WIDE,
    ada,
    choose_language,
    chromium,
    has_no_sideways_scroll,
    open_page,
    violations,
)

# ruff: noqa: F811
CELLS = re.compile("/cells/$")
STYLES = ROOT / "diagnosis/static/diagnosis/field.css"
# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
BLINDNESS = {
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# IEC 61966-2-1: linear sRGB to XYZ at D65.
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


@pytest.fixture(scope="module")
def site(tmp_path_factory, prepared_var):
    """With the shipped model: what it says of drawn cells is what was drawn."""
    site = Site(tmp_path_factory.mktemp("browser"), prepared_var)
    site.start_web()
    site.start_worker()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def field_address(site, chromium, ada, tmp_path_factory):
    """Of a field that the real worker has read."""
    picture = tmp_path_factory.mktemp("field") / "field.png"
    draw_field(5, cells=48, parasitized=4).save(picture)
    with chromium.new_context(base_url=site.url, storage_state=ada) as context:
        page = context.new_page()
        send_to_new_slide(page, "WHOLE-FIELD", picture)
        link = page.locator("a[href$='/field/']").first
        link.wait_for(timeout=60_000)
        return link.get_attribute("href")


@pytest.fixture
def open_field(open_page, ada, field_address):
    def new(**options: Any) -> Page:
        page = open_page(storage_state=ada, **options)
        # Chromium takes a moment to route: what is first routed just before a request may miss it.
        page.route(CELLS, lambda route: route.fallback())
        show(page, field_address)
        return page

    return new


def show(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".field-option").first).to_be_visible()
    expect(page.get_by_role("button", name="Add a missed cell")).to_be_enabled()


def count(page: Page, group: str) -> int:
    return int(page.locator(f"[data-group={group}] .count").inner_text())


def choose_first(page: Page, group: str = "uninfected") -> str:
    """The name of a cell that no review has touched yet."""
    page.locator(f"[data-group={group}]").click()
    page.locator(".field-option").first.click()
    expect(page.locator("[data-about]")).to_be_visible()
    return page.locator("[data-title]").inner_text()


def press_and_wait(page: Page, key: str) -> dict[str, Any]:
    """What the server answered to the opinion of that key."""
    with page.expect_response(lambda response: response.request.method == "POST") as told:
        page.keyboard.press(key)
    return told.value.json()


def test_a_link_leads_to_a_cell(open_field, field_address):
    page = open_field()
    expect(page.locator("[data-about]")).to_be_hidden()
    cells = page.request.get(field_address.replace("/field/", "/cells/")).json()["cells"]
    page.goto(f"{field_address}?cell={cells[7]['id']}")
    expect(page.locator("[data-title]")).to_have_text(f"Cell 8 of {len(cells)}")


def test_an_opinion_is_shown_at_once_kept_and_undone(open_field, field_address):
    page = open_field()
    before, parasitized = count(page, "uninfected"), count(page, "parasitized")
    title = choose_first(page)
    answer = press_and_wait(page, "1")
    assert answer["counts"]["parasitized"] == parasitized + 1
    expect(page.locator("[data-group=parasitized] .count")).to_have_text(str(parasitized + 1))
    expect(page.locator("[data-group=uninfected] .count")).to_have_text(str(before - 1))
    expect(page.locator("[data-badge]")).to_have_text("Parasitized")
    expect(page.locator("[data-say=parasitized]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-live]")).to_contain_text(f"{parasitized + 1} parasitized")

    show(page, field_address)
    expect(page.locator("[data-group=parasitized] .count")).to_have_text(str(parasitized + 1))
    page.locator("[data-group=parasitized]").click()
    page.get_by_role("option", name=re.compile(f"^{title.split(' of ')[0]},.*reviewed")).click()
    with page.expect_response(lambda response: response.request.method == "POST"):
        page.get_by_role("button", name="Take back").click()
    expect(page.locator("[data-group=parasitized] .count")).to_have_text(str(parasitized))


def test_an_answer_that_was_asked_before_an_opinion_does_not_hide_it(open_field):
    page = open_field()
    choose_first(page)
    page.locator("[data-comment]").fill("a platelet?")
    page.keyboard.press("Escape")
    held: list[Route] = []
    page.route(
        CELLS, lambda r: r.fallback() if held or r.request.method == "POST" else held.append(r)
    )
    come_back(page)
    while not held:
        page.wait_for_timeout(100)
    answer = held[0].fetch()
    press_and_wait(page, "3")
    pressed = page.locator("[data-say=cannot-tell]")
    expect(pressed).to_have_attribute("aria-pressed", "true")
    with page.expect_response(CELLS):
        held[0].fulfill(response=answer)
    page.wait_for_timeout(500)
    expect(pressed).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Take back").click()


def test_a_field_to_which_one_comes_back_is_as_it_is_now(open_field, field_address):
    page = open_field()
    before = count(page, "uncertain")
    other = page.context.new_page()
    show(other, field_address)
    choose_first(other)
    press_and_wait(other, "3")
    come_back(page)
    expect(page.locator("[data-group=uncertain] .count")).to_have_text(str(before + 1))
    press_and_wait(other, "t")


def test_undo_takes_back_the_last_word(open_field):
    page = open_field()
    before = count(page, "uninfected")
    choose_first(page)
    press_and_wait(page, "3")
    expect(page.locator("[data-group=uninfected] .count")).to_have_text(str(before - 1))
    press_and_wait(page, "z")
    expect(page.locator("[data-group=uninfected] .count")).to_have_text(str(before))
    expect(page.locator("[data-undo]")).to_be_disabled()


def test_a_wrong_box_is_removed_and_brought_back(open_field):
    page = open_field()
    before = count(page, "all")
    choose_first(page)
    press_and_wait(page, "Delete")
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before - 1))
    expect(page.locator("[data-group=removed]")).to_be_visible()
    press_and_wait(page, "z")
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before))


def test_what_the_server_refuses_is_rolled_back_with_its_reason(open_field):
    page = open_field()
    before = count(page, "uninfected")
    choose_first(page)

    def refuse(route: Route) -> None:
        if route.request.method != "POST":
            return route.fallback()
        route.fulfill(status=404, json={"error": "This cell is no longer there."})

    page.route(CELLS, refuse)
    page.keyboard.press("1")
    expect(page.get_by_role("alert")).to_contain_text("Not kept: This cell is no longer there.")
    expect(page.locator("[data-group=uninfected] .count")).to_have_text(str(before))
    expect(page.locator("[data-badge]")).to_have_text("Uninfected")


def test_what_a_lost_connection_holds_back_is_kept_and_sent(open_field, field_address):
    page = open_field()
    before = count(page, "uninfected")
    choose_first(page)
    page.context.set_offline(True)
    page.keyboard.press("1")
    expect(page.locator("[data-unsent]")).to_contain_text("The connection is lost. 1 opinion is")
    expect(page.locator("[data-group=uninfected] .count")).to_have_text(str(before - 1))
    page.context.set_offline(False)
    expect(page.locator("[data-unsent]")).to_be_hidden()
    show(page, field_address)
    expect(page.locator("[data-group=uninfected] .count")).to_have_text(str(before - 1))


def test_what_was_not_sent_survives_a_reload(open_field, field_address):
    page = open_field()
    before = count(page, "uninfected")
    choose_first(page)
    page.route(CELLS, lambda route: route.abort("connectionreset"))
    page.keyboard.press("1")
    expect(page.locator("[data-unsent]")).to_be_visible()
    page.unroute(CELLS)
    with page.expect_response(lambda response: response.request.method == "POST"):
        show(page, field_address)
    expect(page.locator("[data-group=uninfected] .count")).to_have_text(str(before - 1))


def test_a_missed_cell_is_drawn_with_the_pointer(open_field):
    page = open_field()
    before = count(page, "all")
    page.get_by_role("button", name="Add a missed cell").click()
    plane = page.locator(".field-boxes").bounding_box()
    x, y = plane["x"] + plane["width"] / 2, plane["y"] + plane["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 50, steps=4)
    page.mouse.up()
    expect(page.locator("[data-title]")).to_have_text("A missed cell")
    answer = press_and_wait(page, "2")
    box = answer["cells"][-1]["box"]
    assert 1.1 < box[3] / box[2] < 1.4
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before + 1))
    expect(page.locator("[data-said]")).to_contain_text("Added by a person")
    press_and_wait(page, "z")
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before))


def test_a_missed_cell_is_placed_with_the_keys(open_field):
    page = open_field()
    page.keyboard.press("d")
    place = page.locator("[data-place]")
    expect(place).to_contain_text("Box of")
    first = place.inner_text()
    page.keyboard.press("ArrowRight")
    expect(place).not_to_have_text(first)
    page.keyboard.press("Shift+ArrowDown")
    answer = press_and_wait(page, "1")
    added = answer["cells"][-1]
    assert added["by"] == "person"
    assert added["box"][3] > added["box"][2]
    press_and_wait(page, "z")


def test_the_box_of_a_lost_answer_is_not_added_twice(open_field):
    page = open_field()
    before = count(page, "all")

    def lose_the_answer(route: Route) -> None:
        if route.request.method == "POST":
            route.fetch()
            return route.abort("connectionreset")
        route.fallback()

    page.route(CELLS, lose_the_answer)
    page.keyboard.press("d")
    page.keyboard.press("2")
    expect(page.locator("[data-unsent]")).to_be_visible()
    expect(page.locator("[data-unsent]")).to_be_hidden()
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before + 1))
    page.unroute(CELLS)
    press_and_wait(page, "z")
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before))


def draw_and_lose_the_answer(page: Page) -> None:
    """Of the cell that is sent, which arrives; what follows has its answers."""
    lost: list[Route] = []

    def lose(route: Route) -> None:
        if route.request.method != "POST" or lost:
            return route.fallback()
        lost.append(route)
        route.fetch()
        route.abort("connectionreset")

    page.route(CELLS, lose)
    page.keyboard.press("d")
    page.keyboard.press("1")
    expect(page.locator("[data-unsent]")).to_be_visible()


def test_the_word_after_a_lost_answer_is_of_the_cell_that_was_added(open_field):
    page = open_field()
    before = count(page, "all")
    draw_and_lose_the_answer(page)
    told = press_and_wait(page, "2")
    added = told["cells"][-1]
    assert (added["by"], added["review"]) == ("person", "uninfected")
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before + 1))
    press_and_wait(page, "t")
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before))


def test_a_cell_that_is_taken_back_after_a_lost_answer_is_gone(open_field, field_address):
    page = open_field()
    before = count(page, "all")
    draw_and_lose_the_answer(page)
    page.keyboard.press("t")
    expect(page.locator("[data-unsent]")).to_be_hidden()
    show(page, field_address)
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before))


def test_a_note_on_a_drawn_cell_outlives_its_moving_and_its_answer(open_field):
    page = open_field()
    page.keyboard.press("d")
    note = page.locator("[data-comment]")
    note.fill("ring")
    page.locator(".openseadragon-canvas").first.focus()
    page.keyboard.press("ArrowRight")
    expect(note).to_have_value("ring")
    page.route(CELLS, lambda route: (page.wait_for_timeout(500), route.fallback()))
    page.keyboard.press("1")
    page.keyboard.press("c")
    with page.expect_response(CELLS) as answered:
        page.keyboard.type(" near ")
    answered.value.finished()
    page.wait_for_timeout(200)
    page.keyboard.type("rim")
    with page.expect_response(CELLS) as told:
        page.keyboard.press("Tab")
    page.unroute(CELLS)
    assert told.value.json()["cells"][-1]["comment"] == "ring near rim"
    page.keyboard.press("d")
    expect(note).to_have_value("")
    page.keyboard.press("Escape")
    for _both in range(2):
        press_and_wait(page, "z")


WHOLE = re.compile("/review/")


def test_what_is_said_of_a_whole_field_without_a_connection_is_kept_and_sent(open_field):
    page = open_field()
    field = page.locator("#field-opinion")
    page.route(WHOLE, lambda route: route.abort("connectionreset"))
    field.get_by_label("Note on the whole field").fill("out of focus")
    field.get_by_role("button", name="Set aside").click()
    expect(page.locator("[data-unsent]")).to_contain_text("1 opinion is kept on this computer")
    page.once("dialog", lambda dialog: dialog.accept())
    page.unroute(WHOLE)
    page.reload()
    expect(field.get_by_text("sets it aside")).to_be_visible()
    expect(field.get_by_text("out of focus")).to_be_visible()
    field.get_by_role("button", name="Take back").click()
    expect(field.get_by_text("sets it aside")).to_have_count(0)


def test_a_whole_field_that_is_refused_keeps_the_note(open_field):
    page = open_field()
    field = page.locator("#field-opinion")
    page.route(WHOLE, lambda route: route.fulfill(status=400, body="Your reading is closed."))
    field.get_by_label("Note on the whole field").fill("out of focus")
    field.get_by_role("button", name="Set aside").click()
    expect(page.get_by_role("alert")).to_contain_text("Not kept: Your reading is closed.")
    set_aside = field.get_by_role("button", name="Set aside")
    expect(set_aside).to_have_attribute("aria-pressed", "false")
    expect(field.get_by_label("Note on the whole field")).to_have_value("out of focus")


def make_suspicious(found: dict[int, str]):
    """Answers in which the model says this of these cells, and calls all others uninfected."""

    def change(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        for number, cell in enumerate(answer["cells"], start=1):
            said = found.get(number, "uninfected")
            cell |= {"decision": said, "counts_as": said, "edge": False, "review": None}
        route.fulfill(response=response, body=json.dumps(answer))

    return change


def test_the_next_cell_that_needs_a_person_is_one_key_away(open_page, ada, field_address):
    page = open_page(storage_state=ada)
    page.route(CELLS, make_suspicious({3: "uncertain", 7: "parasitized"}))
    show(page, field_address)
    expect(page.locator("[data-need]")).to_have_text("2 need a person")
    seen = []
    for key in ("n", "n", "p", "n", "n"):
        page.keyboard.press(key)
        seen.append(page.locator("[data-title]").inner_text().split(" of ")[0])
    assert set(seen) == {"Cell 3", "Cell 7"}
    assert seen[0] == seen[2] == seen[4] != seen[1] == seen[3]


def test_the_strip_is_walked_by_keyboard_and_has_names(open_field):
    page = open_field()
    strip = page.get_by_role("listbox")
    strip.focus()
    page.keyboard.press("Enter")
    first = page.get_by_role("option", selected=True)
    expect(first).to_have_accessible_name(re.compile(r"^Cell \d+, \w+, .*\d %"))
    expect(first).to_have_attribute("aria-posinset", "1")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("option", selected=True)).to_have_attribute("aria-posinset", "2")
    page.keyboard.press("End")
    last = page.get_by_role("option", selected=True)
    expect(last).to_have_attribute("aria-posinset", str(count(page, "all")))
    expect(last).to_be_in_viewport()
    assert page.locator(".field-option").count() < 40


def test_a_cell_is_chosen_in_the_photograph(open_field):
    page = open_field()
    box = page.evaluate("fetch(document.getElementById('field').dataset.cells).then(r => r.json())")
    x, y, width, height = box["cells"][0]["box"]
    size, plane = box["image"], page.locator(".field-boxes").bounding_box()
    scale = min(plane["width"] / size["width"], plane["height"] / size["height"])
    left = plane["x"] + (plane["width"] - scale * size["width"]) / 2
    top = plane["y"] + (plane["height"] - scale * size["height"]) / 2
    page.mouse.click(left + scale * (x + width / 2), top + scale * (y + height / 2))
    expect(page.locator("[data-title]")).to_contain_text("Cell 1 of")
    page.keyboard.press("Escape")
    expect(page.locator("[data-none]")).to_be_visible()


def test_the_heatmap_comes_on_demand(open_field):
    page = open_field()
    choose_first(page)
    expect(page.locator("[data-picture] img")).to_have_count(0)
    page.keyboard.press("h")
    heat = page.get_by_role("img", name="Heatmap")
    expect(heat).to_be_visible()
    heat.evaluate("picture => picture.decode()")
    page.keyboard.press("h")
    expect(heat).to_have_count(0)


def test_keys_are_listed_and_can_be_turned_off(open_field):
    page = open_field()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    zoom = dialog.locator("dt", has_text="+")
    expect(zoom).to_have_text("0 + − ")
    expect(zoom.locator("+ dd")).to_have_text("Whole field, zoom in, zoom out")
    dialog.get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="All keys").click()
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name="Close").click()


def test_a_whole_field_is_set_aside_for_a_reason_and_taken_back(open_field):
    page = open_field()
    field, verdict = page.locator("#field-opinion"), page.locator("#verdict")
    note = field.get_by_label("Note on the whole field")
    page.keyboard.press("x")
    expect(note).to_be_focused()  # a cell of it counts as parasitized
    note.fill("out of focus")
    field.get_by_role("button", name="Set aside").click()
    expect(field.get_by_text("sets it aside")).to_be_visible()
    expect(field.get_by_text("out of focus")).to_be_visible()
    expect(verdict.get_by_text("1 field set aside by a person")).to_be_visible()
    page.locator(".openseadragon-canvas").first.focus()
    page.keyboard.press("r")
    expect(field.get_by_text("sets it aside")).to_have_count(0)
    expect(verdict.get_by_text("1 field set aside by a person")).to_have_count(0)


def test_a_whole_field_is_set_aside_without_javascript(open_page, ada, field_address):
    page = open_page(java_script_enabled=False, storage_state=ada)
    page.goto(field_address)
    field = page.locator("#field-opinion")
    field.get_by_label("Note on the whole field").fill("wrong slide")
    field.get_by_role("button", name="Set aside").click()
    expect(field.get_by_text("wrong slide")).to_be_visible()
    field.get_by_role("button", name="Take back").click()
    expect(field.get_by_text("wrong slide")).to_have_count(0)


CUT_OFF = """() => [...document.querySelectorAll(".cell .review *")].filter((part) => {
    const end = part.closest(".review").getBoundingClientRect().right;
    return part.getBoundingClientRect().right > end + 0.5;
}).map((part) => part.outerHTML)"""


def test_all_of_an_opinion_on_a_field_is_seen_on_a_narrow_phone(open_page, ada, field_address):
    page = open_page(storage_state=ada)
    page.goto(field_address)
    page.locator(".crumbs a").last.click()
    for language, width in (("fr", 360), ("pt", 320)):
        page.set_viewport_size(NARROW | {"width": width})
        choose_language(page, language)
        expect(page.locator(".cell .review input[required]")).to_be_visible()
        assert page.evaluate(CUT_OFF) == []


def test_without_javascript_the_photograph_is_there(open_page, ada, field_address):
    page = open_page(java_script_enabled=False, storage_state=ada)
    page.goto(field_address)
    expect(page.get_by_text("need JavaScript")).to_be_visible()
    photo = page.locator(".field-unscripted img")
    expect(photo).to_be_visible()
    expect(page.locator(".field-room")).to_be_hidden()


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_rules_of_accessibility(site, chromium, ada, field_address, colours, viewport):
    options = {"base_url": site.url, "color_scheme": colours, "viewport": viewport}
    # The checker itself breaks the site's content security policy.
    with chromium.new_context(**options, storage_state=ada, bypass_csp=True) as context:
        page = context.new_page()
        show(page, field_address)
        assert violations(page) == []
        choose_first(page)
        assert violations(page) == []
        assert has_no_sideways_scroll(page)
        page.get_by_role("button", name="All keys").click()
        assert violations(page) == []
        page.keyboard.press("Escape")
        choose_language(page, LANGUAGE_IN[colours])
        expect(page.locator(".field-option").first).to_be_visible()
        assert violations(page) == []
        assert has_no_sideways_scroll(page)


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_the_colours_of_boxes_differ_for_every_colour_vision(blindness):
    colours = box_colours(STYLES.read_text())
    assert len(colours) == 5
    seen = {name: as_lab(colour, BLINDNESS[blindness]) for name, colour in colours.items()}
    names = sorted(seen)
    pairs = [(one, two) for index, one in enumerate(names) for two in names[index + 1 :]]
    # CIE 1976: 2.3 is just noticeable; a thin line needs many times that.
    close = [(one, two) for one, two in pairs if np.linalg.norm(seen[one] - seen[two]) < 25]
    assert close == []


def box_colours(css: str) -> dict[str, tuple[int, ...]]:
    """Of the groups that are shown together."""
    found = re.findall(r"--box-(\w+): #([0-9a-f]{3,6});", css)
    groups = ("parasitized", "uncertain", "uninfected", "edge", "rejected")
    longer = {name: v if len(v) == 6 else "".join(2 * c for c in v) for name, v in found}
    return {name: tuple(bytes.fromhex(longer[name])) for name in groups}


def as_lab(colour: tuple[int, ...], vision: list[list[float]]) -> np.ndarray:
    """CIE 1976 L*a*b* of an sRGB colour as that vision sees it."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = np.array(TO_XYZ) @ np.clip(np.array(vision) @ linear, 0, 1)
    x, y, z = np.cbrt(xyz / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_a_note_before_an_answer_is_kept_and_goes_with_it(open_field, field_address):
    page = open_field()
    title = choose_first(page)
    page.keyboard.press("c")
    page.keyboard.type("a platelet?")
    page.locator(".field-option").nth(2).click()
    expect(page.locator("[data-say][role=alert]")).to_contain_text("kept in this browser alone")
    expect(page.locator("[data-comment]")).to_have_value("")
    show(page, field_address)
    assert choose_first(page) == title
    expect(page.locator("[data-comment]")).to_have_value("a platelet?")
    answer = press_and_wait(page, "1")
    assert "a platelet?" in [cell["comment"] for cell in answer["cells"]]
    assert page.evaluate("localStorage.length") == 0
    press_and_wait(page, "z")


def test_a_note_on_a_drawn_cell_goes_with_it(open_field):
    page = open_field()
    page.keyboard.press("d")
    page.locator("[data-comment]").fill("missed, at the rim")
    page.keyboard.press("Escape")
    answer = press_and_wait(page, "1")
    assert "missed, at the rim" in [cell["comment"] for cell in answer["cells"]]
    press_and_wait(page, "z")


def test_a_note_on_a_cell_is_kept_with_the_opinion(open_field, field_address):
    page = open_field()
    title = choose_first(page)
    press_and_wait(page, "3")
    page.keyboard.press("c")
    page.keyboard.type("out of focus")
    with page.expect_response(lambda response: response.request.method == "POST"):
        page.keyboard.press("Tab")
    show(page, field_address)
    page.locator("[data-group=uncertain]").click()
    page.get_by_role("option", name=re.compile(f"^{title.split(' of ')[0]},")).click()
    expect(page.locator("[data-comment]")).to_have_value("out of focus")
    press_and_wait(page, "t")
    expect(page.locator("[data-comment]")).to_have_value("")


def test_what_was_undone_is_done_again(open_field):
    page = open_field()
    before = count(page, "all")
    page.keyboard.press("d")
    press_and_wait(page, "2")
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before + 1))
    press_and_wait(page, "z")
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before))
    press_and_wait(page, "y")
    expect(page.locator("[data-group=all] .count")).to_have_text(str(before + 1))
    press_and_wait(page, "z")
    expect(page.locator("[data-redo]")).to_be_enabled()


def test_the_stage_says_that_the_photograph_is_being_fetched(open_page, ada, field_address):
    page = open_page(storage_state=ada)
    held: list[Route] = []
    page.route(re.compile(r"/photo/\?view$"), lambda route: held.append(route))
    page.goto(field_address, wait_until="domcontentloaded")
    fetching = page.get_by_text("The photograph is being fetched.")
    expect(fetching).to_be_visible()
    expect(page.locator(".field-option").first).to_be_visible()
    for route in held:
        route.continue_()
    expect(fetching).to_be_hidden()
    assert len(held) == 1
