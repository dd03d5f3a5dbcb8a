"""The report of a slide on one page, made from its summary: what a clinician files.

Read from the top: whose slide, how far the report is, what to do, the numbers, the cells behind
them, and what the reader must know. Long lists are cut, so that it is always one page.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from ml.parasitaemia import NEGATIVE

from . import pdf_pictures, pictures, verdict
from .finding import short, whole
from .models import Report
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
from .words import english

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
ELSEWHERE = "on the slide's page"


@english()
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
    title = f"Malaria screening report, slide {content['code']}"
    sheet = Sheet(title, content["laboratory"], content["wording"])
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
    return sheet.finished()


def _head(sheet: Sheet, content: dict[str, Any], report: Report | None, successor: int) -> float:
    word, line = _status(report, successor)
    code = small_enough(content["code"], Style(BOLD, 22), HALF)
    sheet.text(MARGIN, 42, "Malaria screening report", Style(SEMIBOLD, 9, ACCENT))
    sheet.text(MARGIN, 76 - code.size, content["code"], code)
    sheet.text_to(RIGHT, 56, word, Style(BOLD, 13, INK if report else TONES["open"][1]))
    sheet.text_to(RIGHT, 75, line, Style(REGULAR, 8.5, QUIET), HALF)
    sheet.rule(94, LINE)
    facts = {
        "Laboratory": content["laboratory"],
        "Stain": content["stain"] or "Not given",
        "Added": _day(content["added_at"]),
        "Images": f"{len(content['images']):,}",
    }
    below = _columns(sheet, 103, facts, (0.46, 0.15, 0.25, 0.14))
    if content["note"]:
        below = sheet.text(MARGIN, below + 3, content["note"], VALUE, lines=3)
    return below + 7


def _status(report: Report | None, successor: int) -> tuple[str, str]:
    if report is None:
        return "Preliminary", "Not signed by a person yet"
    signed = f"igned {_moment(report.signed_at)} by {report.who}"
    if successor:
        return f"Replaced by report {successor}", f"Report {report.number}, s{signed}"
    if report.number == 1:
        return "Final", f"S{signed}"
    return "Amended", f"Report {report.number}, s{signed}"


def _columns(sheet: Sheet, y: float, facts: dict[str, str], shares: Sequence[float]) -> float:
    x, below = MARGIN, y
    for (label, value), share in zip(facts.items(), shares, strict=True):
        sheet.text(x, y, label, LABEL)
        below = max(below, sheet.text(x, y + 10, value, VALUE, share * INNER - GAP, 2))
        x += share * INNER
    return below


def _verdict(sheet: Sheet, y: float, content: dict[str, Any]) -> float:
    ground, ink = TONES[_tone(content)]
    headline, advice = Style(BOLD, 19, ink), Style(SEMIBOLD, 9.5, ink)
    x, width = MARGIN + 16, INNER - 32
    tall = height(content["headline"], headline, width, 2) + height(
        content["advice"], advice, width, 3
    )
    sheet.box(Area(MARGIN, y, INNER, tall + 24), fill=ground, radius=7)
    below = sheet.text(x, y + 10, content["headline"], headline, width, 2)
    sheet.text(x, below + 1, content["advice"], advice, width, 3)
    return y + tall + 24 + GAP


def _tone(content: dict[str, Any]) -> str:
    if content["is_critical"]:
        return "critical"
    said = content.get("conclusion") or content["finding"]
    return "negative" if content["finding"] and said.lower() == NEGATIVE else "open"


def _figures(sheet: Sheet, y: float, content: dict[str, Any]) -> float:
    """What was measured on the left, what was counted on the right."""
    label, big, lines = _measured(content)
    sheet.text(MARGIN, y, label, LABEL)
    below = sheet.text(MARGIN, y + 9, big, Style(BOLD, 15), HALF)
    for line in lines:
        below = sheet.text(MARGIN, below, line, Style(REGULAR, 8.5), HALF, 2)
    rows = _counted(content)
    for place, (word, number) in enumerate(rows.items()):
        column, row = divmod(place, (len(rows) + 1) // 2)
        left = MARGIN + (2 + column) * INNER / 4
        sheet.text(left, y + row * 26, word, LABEL)
        sheet.text(left, y + row * 26 + 9, f"{number:,}", Style(SEMIBOLD, 10.5))
    return max(below, y + 26 * ((len(rows) + 1) // 2)) + GAP


def _measured(content: dict[str, Any]) -> tuple[str, str, list[str]]:
    crops, parasitaemia = content["crops"], content["parasitaemia"]
    if parasitaemia:
        return "Parasitaemia", f"{short(parasitaemia['percent']['value'])} %", _basis(parasitaemia)
    if content["counts"]:
        return "Parasitaemia", "Not given", []
    if crops:
        found = f"{crops['parasitized']:,} of {crops['cells']:,}"
        return "Chosen cells that are parasitized", found, [verdict.NO_PARASITAEMIA]
    return "Parasitaemia", "Not given", ["No cell was read."]


def _basis(parasitaemia: dict[str, Any]) -> list[str]:
    percent, per_ul = parasitaemia["percent"], parasitaemia["per_microlitre"]
    how = "measured" if parasitaemia["is_measured"] else "assumed, not measured"
    return [
        f"95 % interval {short(percent['low'])} to {short(percent['high'])} %",
        f"{whole(per_ul['value'])} parasites per µL "
        f"({whole(per_ul['low'])} to {whole(per_ul['high'])})",
        f"Basis: {parasitaemia['basis']:,} red cells per µL, {how}",
    ]


def _counted(content: dict[str, Any]) -> dict[str, int]:
    counts, crops = content["counts"], content["crops"]
    if counts:
        left_out = ("edge", "rejected", "removed")
        return {
            "Red cells counted": counts["cells"],
            "Parasitized": counts["parasitized"],
            "Uncertain": counts["uncertain"],
            "Not counted": sum(counts[name] for name in left_out),
            "Reviewed by people": counts["reviewed"],
            "Still to be looked at": counts["to_look_at"],
        }
    names = ("parasitized", "uncertain", "uninfected")
    return {name.capitalize(): crops[name] for name in names} if crops else {}


def _words(sheet: Sheet, y: float, report: Report | None, change: Change | None) -> float:
    since = f"It says now: {change.now}." if change else ""
    said = {
        "The slide has changed since it was signed": since,
        "Why it was amended": report.reason if report else "",
        "Comment": report.comment if report else "",
    }
    for label, words in said.items():
        if words:
            sheet.text(MARGIN, y, label, LABEL)
            y = sheet.text(MARGIN, y + 10, words, VALUE, lines=MOST_LINES) + GAP
    return y


def _foot(sheet: Sheet, content: dict[str, Any], made_at: datetime) -> None:
    """Comes last: it says what the page left out."""
    sheet.rule(FOOT, LINE)
    below = sheet.text(MARGIN, FOOT + 7, content["wording"], Style(BOLD, 9.5))
    sheet.text_to(RIGHT, below + 1, f"Slide {content['slide']}", CAPTION)
    below = sheet.text(MARGIN, below + 1, f"Page made {_moment(made_at)}", CAPTION)
    sheet.text(MARGIN, below, " ".join(_left_out(sheet)), CAPTION, lines=2)


def _left_out(sheet: Sheet) -> list[str]:
    told = {
        f"What ends in {CUT} is longer {ELSEWHERE}.": sheet.is_cut,
        f"{UNKNOWN} stands for a letter that this page cannot draw.": sheet.lacks_letters,
        f"Only {ELSEWHERE}: {', '.join(sheet.left_out)}.": bool(sheet.left_out),
    }
    return [sentence for sentence, is_so in told.items() if is_so]


def _about(sheet: Sheet, bottom: float, content: dict[str, Any]) -> float:
    """Who and what read the slide, above the foot. Returns where it begins.

    Reports that were signed before there were notes and readings know none.
    """
    said = [content.get("second_reading", ""), *content.get("readings", [])]
    facts = {
        "Reviewed by": _some(content["reviewers"]) or "Nobody yet",
        "Whole fields": _some(content.get("fields", []), " • "),
        "Notes on cells": _some(content.get("cell_notes", []), " • "),
        "Readings": _some([*filter(None, said)], " ", READING_LINES),
        "Read by": _some([_version(model) for model in content["models"]]) or "Nothing yet",
        "Limits": " ".join(content["limits"]),
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
        more = len(texts) - kept
        rest = f" and {more:,} more, {ELSEWHERE}" if more else ""
        shown = between.join(texts[:kept]) + rest
        if len(wrapped(shown, SMALL, ABOUT, lines + 1)) <= lines:
            return shown
    return f"{len(texts):,}, {ELSEWHERE}" if texts else ""


def _version(model: dict[str, Any]) -> str:
    band = (
        ""
        if model["low"] is None
        else f", uncertain from {model['low']:.3g} to {model['high']:.3g}"
    )
    return f"{model['name']} ({model['fingerprint'][:12]}{band})"


def _notes(sheet: Sheet, content: dict[str, Any], room: float) -> list[str]:
    """Without the sentence of the parasitaemia, which stands above in numbers."""
    notes = content["lines"][1:] if content["parasitaemia"] else content["lines"]
    notes = [note for note in notes if note != verdict.NO_PARASITAEMIA]
    for kept in range(min(len(notes), MOST_NOTES), 0, -1):
        more = len(notes) - kept
        shown = [*notes[:kept], f"And {more:,} more."] if more else notes
        if _height(shown) <= room:
            return shown
    sheet.left_out += ["notes"] if notes else []
    return []


def _height(notes: list[str]) -> float:
    return sum(height(note, SMALL, INNER - 10, 2) + 2 for note in notes)


def _list(sheet: Sheet, y: float, notes: list[str]) -> None:
    for note in notes:
        sheet.text(MARGIN, y, "•", SMALL)
        y = sheet.text(MARGIN + 10, y, note, SMALL, INNER - 10, 2) + 2


def _day(when: str) -> str:
    return f"{timezone.localtime(datetime.fromisoformat(when)):%-d %B %Y}"


def _moment(when: datetime) -> str:
    return f"{timezone.localtime(when):%-d %B %Y, %H:%M %Z}"
