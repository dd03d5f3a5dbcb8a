"""One sheet of A4 paper, drawn in points from its upper left corner.

Loads the PDF library, which the other pages of a web process do without: import it where a PDF is
made.
"""

import io
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from unicodedata import category, normalize

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase.pdfmetrics import getFont, registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

FONTS = Path(__file__).parent / "fonts"
REGULAR, SEMIBOLD, BOLD = "OpenSans-Regular", "OpenSans-Semibold", "OpenSans-Bold"
WIDTH, HEIGHT = A4
MARGIN = 48.0
INNER = WIDTH - 2 * MARGIN
GAP = 10.0
HALF, RIGHT = (INNER - GAP) / 2, MARGIN + INNER
INK, QUIET = "#1c1926", "#5b5566"
CUT, UNKNOWN = "…", "\ufffd"
STICKY = "\xa0\u202f"
"""Spaces that no line breaks at: within a number, before a sign of percent or a French colon."""


class Style(NamedTuple):
    font: str
    size: float
    colour: str = INK

    @property
    def leading(self) -> float:
        return 1.36 * self.size


CAPTION = Style(REGULAR, 7, QUIET)


class Area(NamedTuple):
    """Left, top, width, height."""

    x: float
    y: float
    width: float
    height: float


class Sheet:
    """Knows whether its texts were cut or lack letters, and what had no room."""

    def __init__(self, title: str, author: str, subject: str, language: str = "en-GB") -> None:
        _load_fonts()
        self.is_cut = self.lacks_letters = False
        self.left_out: list[str] = []
        self.file = io.BytesIO()
        self.canvas = Canvas(self.file, pagesize=A4, lang=language, initialFontName=REGULAR)
        self.canvas.setTitle(title)
        self.canvas.setAuthor(author)
        self.canvas.setSubject(subject)
        self.canvas.setCreator("")
        self.canvas.setViewerPreference("DisplayDocTitle", "true")

    def text(
        self, x: float, y: float, text: str, style: Style, width: float = INNER, lines: int = 1
    ) -> float:
        """Wrapped, and cut where it takes more lines. Returns where the next line begins."""
        for line in wrapped(text, style, width, lines):
            self._line(x, y, line, style)
            y += style.leading
        return y

    def text_to(self, x: float, y: float, text: str, style: Style, width: float = INNER) -> None:
        """One line that ends at x."""
        line = _fitting(drawable(text), style, width)
        self._line(x - stringWidth(line, style.font, style.size), y, line, style)

    def box(self, area: Area, fill: str = "", line: str = "", radius: float = 0) -> None:
        self.canvas.setLineWidth(0.75)
        self._colours(fill, line)
        place = (area.x, HEIGHT - area.y - area.height, area.width, area.height, radius)
        self.canvas.roundRect(*place, stroke=bool(line), fill=bool(fill))

    def rule(self, y: float, colour: str) -> None:
        self.box(Area(MARGIN, y, INNER, 0.75), fill=colour)

    def picture(self, area: Area, jpeg: bytes) -> None:
        place = (area.x, HEIGHT - area.y - area.height, area.width, area.height)
        self.canvas.drawImage(ImageReader(io.BytesIO(jpeg)), *place)

    def frame(self, area: Area, colour: str, thickness: float, is_dashed: bool = False) -> None:
        self.canvas.setLineWidth(thickness)
        self.canvas.setDash([2, 1.4] if is_dashed else [])
        self._colours("", colour)
        self.canvas.rect(area.x, HEIGHT - area.y - area.height, area.width, area.height)
        self.canvas.setDash([])

    def finished(self) -> bytes:
        self.canvas.save()
        return self.file.getvalue()

    def _line(self, x: float, y: float, text: str, style: Style) -> None:
        self.is_cut = self.is_cut or text.endswith(CUT)
        self.lacks_letters = self.lacks_letters or UNKNOWN in text
        self.canvas.setFont(style.font, style.size)
        self.canvas.setFillColor(HexColor(style.colour))
        self.canvas.drawString(x, HEIGHT - y - style.size, text)

    def _colours(self, fill: str, line: str) -> None:
        if fill:
            self.canvas.setFillColor(HexColor(fill))
        if line:
            self.canvas.setStrokeColor(HexColor(line))


def wrapped(text: str, style: Style, width: float, lines: int) -> list[str]:
    """In so many lines at most; a word that is longer than a line goes on in the next."""
    paragraphs = drawable(text).split("\n") if text else []
    split = [line for one in paragraphs for line in _lines(one, style, width)]
    found = [part for line in split for part in _parts(line, style, width)]
    kept = found[:lines]
    if len(found) > lines:
        kept[-1] += CUT
    return [_fitting(line, style, width) for line in kept]


def height(text: str, style: Style, width: float, lines: int) -> float:
    return len(wrapped(text, style, width, lines)) * style.leading


def small_enough(text: str, style: Style, width: float) -> Style:
    """The style in which all of a text stands in one line."""
    scale = width / max(width, stringWidth(drawable(text), style.font, style.size))
    return style._replace(size=scale * style.size)


def drawable(text: str) -> str:
    """With a mark for each letter that the fonts lack, and without signs that are not seen."""
    known = getFont(REGULAR).face.charToGlyph
    seen = (c for c in normalize("NFC", text) if category(c) != "Cf")
    plain = (_space(c) if c.isspace() and c != "\n" else c for c in seen)
    return "".join(c if ord(c) in known or c == "\n" else UNKNOWN for c in plain)


def _space(character: str) -> str:
    return "\xa0" if character in STICKY else " "


def _lines(paragraph: str, style: Style, width: float) -> Iterator[str]:
    line = ""
    for word in filter(None, paragraph.split(" ")):
        longer = f"{line} {word}" if line else word
        if line and stringWidth(longer, style.font, style.size) > width:
            yield line
            longer = word
        line = longer
    if line:
        yield line


def _parts(line: str, style: Style, width: float) -> Iterator[str]:
    while stringWidth(line, style.font, style.size) > width and len(line) > 1:
        end = _longest(line, style, width)
        yield line[:end]
        line = line[end:]
    yield line


def _longest(line: str, style: Style, width: float) -> int:
    """How many of its letters fit, one at least."""
    fits = range(len(line), 1, -1)
    return next((n for n in fits if stringWidth(line[:n], style.font, style.size) <= width), 1)


def _fitting(line: str, style: Style, width: float) -> str:
    if stringWidth(line, style.font, style.size) <= width:
        return line
    line = line.removesuffix(CUT)
    while line and stringWidth(line + CUT, style.font, style.size) > width:
        line = line[:-1]
    return line.rstrip() + CUT


@lru_cache(maxsize=1)
def _load_fonts() -> None:
    for name in (REGULAR, SEMIBOLD, BOLD):
        registerFont(TTFont(name, FONTS / f"{name}.ttf"))
