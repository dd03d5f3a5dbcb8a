"""The report of a slide on one page, made from its summary: what a clinician files.

Read from the top: whose slide, how far the report is, what to do, the numbers, the cells behind
them, and what the reader must know. Long lists are cut, so that it is always one page.

It is laid out in the language of the summary, whoever asks for it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext, to_locale

from ml.parasitaemia import NEGATIVE

from . import pdf_pictures, pictures, summary, verdict
from .finding import short, whole
from .models import Decision, Report
from .sheet import (
    BOLD,
    CAPTION,
    CUT,
    GAP,
    HALF,
    HEIGHT,
    INK,
    INNER,
    MARGIN,
    QUIET,
    REGULAR,
    RIGHT,
    SEMIBOLD,
    UNKNOWN,
    Area,
    Sheet,
    Style,
    height,
    small_enough,
    wrapped,
)
from .signing import Change
from .words import between, code, in_percent, number, percent, spoken

LINE, ACCENT = "#d9d4e2", "#583a99"
TONES = {
    "critical": ("#fdeee5", "#b23805"),
    "negative": ("#e6f1f9", "#0b5790"),
    "open": ("#fcf1ce", "#6f5000"),
}
"""Ground and ink of a verdict; its words say the same without colour."""
LABEL = Style(SEMIBOLD, 7.5, QUIET)
VALUE = Style(REGULAR, 9.5, INK)
SMALL = Style(REGULAR, 8, INK)
ABOUT = INNER - 76
"""The width of what is said of who and what read the slide, beside its label."""
MOST_NOTES, MOST_NAMES, MOST_LINES, ABOUT_LINES, READING_LINES = 8, 6, 7, 3, 6
FOOT = HEIGHT - 72


def of(
    content: dict[str, Any],
    report: Report | None,
    made_at: datetime,
    change: Change | None = None,
    successor: int = 0,
) -> bytes:
    """`content` is a summary: the one that was signed, or without a report how the slide stands.

    `change` is what the slide says since; `successor` the number of the report that counts in place
    of this one.
    """
    language = summary.language_of(content)
    with spoken(language):
        title = _("Malaria screening report, slide %(code)s") % {"code": content["code"]}
        sheet = Sheet(title, content["laboratory"], content["wording"], _tag(language))
        _draw(sheet, content, report, made_at, change, successor)
    return sheet.finished()


def _tag(language: str) -> str:
    """As PDF names a language: en-GB."""
    return to_locale(code(language)).replace("_", "-")


def _draw(
    sheet: Sheet,
    content: dict[str, Any],
    report: Report | None,
    made_at: datetime,
    change: Change | None,
    successor: int,
) -> None:
    top = _head(sheet, content, report, successor)
    top = _verdict(sheet, top, content)
    top = _figures(sheet, top, content)
    top = _words(sheet, top, report, change)
    bottom = _about(sheet, FOOT, content)
    notes = _notes(sheet, content, bottom - top - GAP)
    room = bottom - top - _height(notes) - GAP
    fields, single = pictures.drawn(content)
    top = pdf_pictures.draw(sheet, top, room, fields, single)
    _list(sheet, top, notes)
    _foot(sheet, content, made_at)


def _head(sheet: Sheet, content: dict[str, Any], report: Report | None, successor: int) -> float:
    word, line = _status(report, successor)
    style = small_enough(content["code"], Style(BOLD, 22), HALF)
    sheet.text(MARGIN, 42, _("Malaria screening report"), Style(SEMIBOLD, 9, ACCENT))
    sheet.text(MARGIN, 76 - style.size, content["code"], style)
    sheet.text_to(RIGHT, 56, word, Style(BOLD, 13, INK if report else TONES["open"][1]))
    sheet.text_to(RIGHT, 75, line, Style(REGULAR, 8.5, QUIET), HALF)
    sheet.rule(94, LINE)
    facts = {
        _("Laboratory"): content["laboratory"],
        _("Stain"): content["stain"] or _("Not given"),
        _("Added"): _day(content["added_at"]),
        _("Images"): number(len(content["images"])),
    }
    below = _columns(sheet, 103, facts, (0.46, 0.15, 0.25, 0.14))
    if content["note"]:
        below = sheet.text(MARGIN, below + 3, content["note"], VALUE, lines=3)
    return below + 7


def _status(report: Report | None, successor: int) -> tuple[str, str]:
    if report is None:
        return pgettext("report", "Preliminary"), _("Not signed by a person yet")
    about = {"number": report.number, "at": _moment(report.signed_at), "who": report.who}
    signed = _("Report %(number)d, signed %(at)s by %(who)s") % about
    if successor:
        return _("Replaced by report %(number)d") % {"number": successor}, signed
    if report.number == 1:
        return pgettext("report", "Final"), _("Signed %(at)s by %(who)s") % about
    return pgettext("report", "Amended"), signed


def _columns(sheet: Sheet, y: float, facts: dict[str, str], shares: Sequence[float]) -> float:
    x, below = MARGIN, y
    for (label, value), share in zip(facts.items(), shares, strict=True):
        sheet.text(x, y, label, LABEL)
        below = max(below, sheet.text(x, y + 10, value, VALUE, share * INNER - GAP, 2))
        x += share * INNER
    return below


def _verdict(sheet: Sheet, y: float, content: dict[str, Any]) -> float:
    ground, ink = TONES[_tone(content)]
    first, second = _heads(content)
    parts = [
        (first, Style(BOLD, 19, ink), 2),
        (second, Style(SEMIBOLD, 11.5, ink), 2),
        (content["advice"], Style(SEMIBOLD, 9.5, ink), 3),
    ]
    x, width = MARGIN + 16, INNER - 32
    tall = sum(height(text, style, width, lines) for text, style, lines in parts)
    sheet.box(Area(MARGIN, y, INNER, tall + 24), fill=ground, radius=7)
    below = y + 10
    for text, style, lines in parts:
        below = sheet.text(x, below, text, style, width, lines)
    return y + tall + 24 + GAP


def _heads(content: dict[str, Any]) -> tuple[str, str]:
    """What a person concludes, and under it what was counted; without that, or in the first format
    of a summary, the headline alone."""
    conclusion, counted = content.get("heads", ("", ""))
    return (conclusion, counted) if conclusion else (content["headline"], "")


def _tone(content: dict[str, Any]) -> str:
    if content["is_critical"]:
        return "critical"
    said = summary.concluded(content) or content["finding"]
    return "negative" if said == NEGATIVE and summary.has_cells(content) else "open"


def _figures(sheet: Sheet, y: float, content: dict[str, Any]) -> float:
    """What was measured on the left, what was counted on the right."""
    label, big, lines = _measured(content)
    sheet.text(MARGIN, y, label, LABEL)
    below = sheet.text(MARGIN, y + 9, big, Style(BOLD, 15), HALF)
    for line in lines:
        below = sheet.text(MARGIN, below, line, Style(REGULAR, 8.5), HALF, 2)
    rows = _counted(content)
    for place, (word, counted) in enumerate(rows.items()):
        column, row = divmod(place, (len(rows) + 1) // 2)
        left = MARGIN + (2 + column) * INNER / 4
        sheet.text(left, y + row * 26, word, LABEL)
        sheet.text(left, y + row * 26 + 9, number(counted), Style(SEMIBOLD, 10.5))
    return max(below, y + 26 * ((len(rows) + 1) // 2)) + GAP


def _measured(content: dict[str, Any]) -> tuple[str, str, list[str]]:
    crops, parasitaemia = content["crops"], content["parasitaemia"]
    if parasitaemia:
        share = in_percent(short(parasitaemia["percent"]["value"]))
        return _("Parasitaemia"), share, _basis(parasitaemia)
    if content["counts"]:
        return _("Parasitaemia"), _("Not given"), []
    if crops:
        counted = {"some": number(crops["parasitized"]), "all": number(crops["cells"])}
        found = _("%(some)s of %(all)s") % counted
        return _("Chosen cells that are parasitized"), found, [_(verdict.NO_PARASITAEMIA)]
    return _("Parasitaemia"), _("Not given"), [_("No cell was read.")]


def _basis(parasitaemia: dict[str, Any]) -> list[str]:
    percent, per_ul = parasitaemia["percent"], parasitaemia["per_microlitre"]
    if parasitaemia["is_measured"]:
        basis = _("Basis: %(basis)s red cells per µL, measured")
    else:
        basis = _("Basis: %(basis)s red cells per µL, assumed, not measured")
    numbers = {
        "low": short(percent["low"]),
        "high": in_percent(short(percent["high"])),
        "per_ul": whole(per_ul["value"]),
        "range": between(whole(per_ul["low"]), whole(per_ul["high"])),
        "basis": number(parasitaemia["basis"]),
    }
    return [
        _("95 %% interval %(low)s to %(high)s") % numbers,
        _("%(per_ul)s parasites per µL (%(range)s)") % numbers,
        basis % numbers,
    ]


def _counted(content: dict[str, Any]) -> dict[str, int]:
    counts, crops = content["counts"], content["crops"]
    if counts:
        left_out = ("edge", "rejected", "removed")
        return {
            _("Red cells counted"): counts["cells"],
            str(Decision.PARASITIZED.label): counts["parasitized"],
            str(Decision.UNCERTAIN.label): counts["uncertain"],
            _("Not counted"): sum(counts[name] for name in left_out),
            _("Reviewed by people"): counts["reviewed"],
            _("Still to be looked at"): counts["to_look_at"],
        }
    names = (Decision.PARASITIZED, Decision.UNCERTAIN, Decision.UNINFECTED)
    return {str(name.label): crops[name] for name in names} if crops else {}


def _words(sheet: Sheet, y: float, report: Report | None, change: Change | None) -> float:
    said = {
        _("The slide has changed since it was signed"): _since(change) if change else "",
        _("Why it was amended"): report.reason if report else "",
        _("Comment"): report.comment if report else "",
    }
    for label, words in said.items():
        if words:
            sheet.text(MARGIN, y, label, LABEL)
            y = sheet.text(MARGIN, y + 10, words, VALUE, lines=MOST_LINES) + GAP
    return y


def _since(change: Change) -> str:
    return _("It says now: %(headline)s.") % {"headline": change.now}


def _foot(sheet: Sheet, content: dict[str, Any], made_at: datetime) -> None:
    """Comes last: it says what the page left out."""
    sheet.rule(FOOT, LINE)
    below = sheet.text(MARGIN, FOOT + 7, content["wording"], Style(BOLD, 9.5))
    sheet.text_to(RIGHT, below + 1, _("Slide %(id)s") % {"id": content["slide"]}, CAPTION)
    made = _("Page made %(at)s") % {"at": _moment(made_at)}
    below = sheet.text(MARGIN, below + 1, made, CAPTION)
    sheet.text(MARGIN, below, " ".join(_left_out(sheet)), CAPTION, lines=2)


def _left_out(sheet: Sheet) -> list[str]:
    words = {"cut": CUT, "unknown": UNKNOWN, "parts": ", ".join(sheet.left_out)}
    told = {
        _("What ends in %(cut)s is longer on the slide's page."): sheet.is_cut,
        _("%(unknown)s stands for a letter that this page cannot draw."): sheet.lacks_letters,
        _("Only on the slide's page: %(parts)s."): bool(sheet.left_out),
    }
    return [sentence % words for sentence, is_so in told.items() if is_so]


def _about(sheet: Sheet, bottom: float, content: dict[str, Any]) -> float:
    """Who and what read the slide, above the foot. Returns where it begins.

    Reports that were signed before there were notes and readings know none.
    """
    said = [content.get("second_reading", ""), *content.get("readings", [])]
    facts = {
        _("Reviewed by"): _some(content["reviewers"]) or _("Nobody yet"),
        _("Whole fields"): _some(content.get("fields", []), " • "),
        _("Notes on cells"): _some(content.get("cell_notes", []), " • "),
        _("Readings"): _some([*filter(None, said)], " ", READING_LINES),
        _("Read by"): _some([_version(model) for model in content["models"]]) or _("Nothing yet"),
        _("Limits"): " ".join(content["limits"]),
    }
    facts = {label: text for label, text in facts.items() if text}
    tall = sum(height(text, SMALL, ABOUT, READING_LINES) + 3 for text in facts.values())
    y = top = bottom - tall - 6
    for label, text in facts.items():
        sheet.text(MARGIN, y + 0.4, label, Style(SEMIBOLD, 8, QUIET))
        y = sheet.text(RIGHT - ABOUT, y, text, SMALL, ABOUT, READING_LINES) + 3
    return top - GAP


def _some(texts: list[str], between: str = ", ", lines: int = ABOUT_LINES) -> str:
    """As many as have room, each whole, and how many more there are."""
    for kept in range(min(len(texts), MOST_NAMES), 0, -1):
        shown = between.join(texts[:kept])
        if more := len(texts) - kept:
            shown = _("%(some)s and %(more)s more, on the slide's page") % {
                "some": shown,
                "more": number(more),
            }
        if len(wrapped(shown, SMALL, ABOUT, lines + 1)) <= lines:
            return shown
    return _("%(all)s, on the slide's page") % {"all": number(len(texts))} if texts else ""


def _version(model: dict[str, Any]) -> str:
    band = ""
    if model["low"] is not None:
        ends = {"low": percent(model["low"]), "high": percent(model["high"])}
        band = _(", uncertain from %(low)s to %(high)s") % ends
    return f"{model['name']} ({model['fingerprint'][:12]}{band})"


def _notes(sheet: Sheet, content: dict[str, Any], room: float) -> list[str]:
    """Without what stands above: the first line says a parasitaemia in words, and where cells were
    chosen the last one says that they give none."""
    notes = content["lines"][1:] if content["parasitaemia"] else content["lines"]
    notes = notes[:-1] if content["crops"] and not content["counts"] else notes
    for kept in range(min(len(notes), MOST_NOTES), 0, -1):
        more = len(notes) - kept
        shown = [*notes[:kept], _("And %(more)s more.") % {"more": number(more)}] if more else notes
        if _height(shown) <= room:
            return shown
    sheet.left_out += [_("notes")] if notes else []
    return []


def _height(notes: list[str]) -> float:
    return sum(height(note, SMALL, INNER - 10, 2) + 2 for note in notes)


def _list(sheet: Sheet, y: float, notes: list[str]) -> None:
    for note in notes:
        sheet.text(MARGIN, y, "•", SMALL)
        y = sheet.text(MARGIN + 10, y, note, SMALL, INNER - 10, 2) + 2


def _day(when: str) -> str:
    return date_format(timezone.localtime(datetime.fromisoformat(when)), "DATE_FORMAT")


def _moment(when: datetime) -> str:
    local = timezone.localtime(when)
    return f"{date_format(local, 'DATETIME_FORMAT')} {local:%Z}"
