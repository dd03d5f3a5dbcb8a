"""The pictures on a report's page: fields with their suspicious cells marked, and single cells."""

import math
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from .models import Decision
from .pictures import SUSPICIOUS, Picture
from .sheet import CAPTION, GAP, HALF, INNER, MARGIN, Area, Sheet
from .words import probability

LEAST_FIELD, MOST_FIELD = 70.0, 186.0
IN_A_ROW = 8
MARKS = {Decision.PARASITIZED: "#d55e00", Decision.UNCERTAIN: "#f0e442"}
"""As on the page of a field."""
FOUND = {
    Decision.PARASITIZED: ngettext_lazy(
        "%(number)s parasitized", "%(number)s parasitized", "number"
    ),
    Decision.UNCERTAIN: ngettext_lazy("%(number)s uncertain", "%(number)s uncertain", "number"),
}
"""Cells of a field, which has 200 marked at most."""


def draw(sheet: Sheet, y: float, room: float, fields: list[Picture], cells: list[Picture]) -> float:
    """As large as there is room for; fields in which no cell could be seen are left out.

    What has no room is named on the sheet.

    Returns where it ends.
    """
    side = min(MOST_FIELD, room - _tall(cells, IN_A_ROW) - CAPTION.leading - GAP - 2)
    if fields and side >= LEAST_FIELD:
        return _cells(sheet, _fields(sheet, y, side, fields), cells, IN_A_ROW)
    fitting = [number for number in (IN_A_ROW // 2, IN_A_ROW) if _tall(cells, number) <= room]
    sheet.left_out += [_("pictures of fields")] if fields else []
    sheet.left_out += [] if fitting or not cells else [_("pictures of cells")]
    return _cells(sheet, y, cells, fitting[0]) if fitting else y


def _tall(cells: list[Picture], in_a_row: int) -> float:
    return math.ceil(len(cells) / in_a_row) * (_side(in_a_row) + 3 * CAPTION.leading)


def _side(in_a_row: int) -> float:
    return (INNER - (in_a_row - 1) * GAP) / in_a_row


def _fields(sheet: Sheet, y: float, side: float, fields: list[Picture]) -> float:
    x, below = MARGIN, y
    for picture in fields:
        area = _within(Area(x, y, HALF, side), picture)
        sheet.picture(area, picture.jpeg)
        for decision, *share in picture.marks:
            _mark(sheet, _part(area, *share), decision)
        caption = area.y + area.height + 2
        below = max(below, sheet.text(x, caption, _of_field(picture), CAPTION, area.width))
        x += area.width + GAP
    return below + GAP


def _within(area: Area, picture: Picture) -> Area:
    scale = min(area.width / picture.width, area.height / picture.height)
    return area._replace(width=scale * picture.width, height=scale * picture.height)


def _part(area: Area, x: float, y: float, width: float, height: float) -> Area:
    left, top = area.x + x * area.width, area.y + y * area.height
    return Area(left, top, width * area.width, height * area.height)


def _mark(sheet: Sheet, area: Area, decision: str) -> None:
    """A light line under a dark one, and the other way round: it is seen on any ground."""
    is_uncertain = decision == Decision.UNCERTAIN
    sheet.frame(area, "#333333" if is_uncertain else "#ffffff", 1.9)
    sheet.frame(area, MARKS[Decision(decision)], 1.1, is_dashed=is_uncertain)


def _of_field(picture: Picture) -> str:
    about = picture.about
    found = [FOUND[name] % {"number": about[name]} for name in SUSPICIOUS if about[name]]
    return f"{', '.join(found)} · {about['name']}"


def _cells(sheet: Sheet, y: float, cells: list[Picture], in_a_row: int) -> float:
    side = _side(in_a_row)
    step = side + 3 * CAPTION.leading
    for place, picture in enumerate(cells):
        row, column = divmod(place, in_a_row)
        x, top = MARGIN + column * (side + GAP), y + row * step
        area = _within(Area(x, top, side, side), picture)
        sheet.picture(area, picture.jpeg)
        _mark(sheet, area, picture.about["decision"])
        word = str(Decision(picture.about["decision"]).label)
        below = sheet.text(x, top + side + 3, word, CAPTION)
        sheet.text(x, below, _by(picture.about), CAPTION)
    return y + _tall(cells, in_a_row)


def _by(about: dict[str, Any]) -> str:
    if about["is_reviewed"]:
        return _("by a person")
    if about["probability"] is None:
        return ""
    return _("model: %(probability)s") % {"probability": probability(about["probability"])}
