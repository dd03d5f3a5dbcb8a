"""What `ml` says and the database keeps, in English: listed here to be translated when it is shown.

`%(name)s` stands for what differs. tests/test_phrases.py holds the list against what `ml` can say.
"""

import re
from functools import cache

from django.utils.translation import gettext, gettext_noop

REFUSALS = (
    gettext_noop("The file cannot be read: %(error)s."),
    gettext_noop("The file is empty."),
    gettext_noop("The file is larger than %(most)s MB."),
    gettext_noop("This is an SVG drawing, not a photograph."),
    gettext_noop("The image has %(megapixels)s megapixels; %(most)s are the most we read."),
    gettext_noop("The image is %(width)s x %(height)s pixels; each side needs at least %(least)s."),
    gettext_noop("The file holds several frames or pages; send one still image."),
    gettext_noop("Decoding this image takes too much memory."),
    gettext_noop("This is not an image we can read (PNG, JPEG, TIFF, BMP, WebP, AVIF or HEIC)."),
    gettext_noop("The file is damaged or cut off: it cannot be decoded."),
    gettext_noop("The file is cut off: it did not arrive whole. Send it again."),
    gettext_noop("Its pixel values are not those of a photograph."),
    gettext_noop("The file is damaged: decoding it crashed."),
    gettext_noop("Decoding this image takes too long."),
    gettext_noop("Too many images arrive at this moment: send this one again."),
)
REASONS = (
    gettext_noop("Too blurred to read: focus, and photograph it again."),
    gettext_noop("It shows many cells: send a crop of one red cell."),
    gettext_noop("It shows no whole red cell."),
    gettext_noop("This is not a photograph of a stained red cell."),
    gettext_noop(
        "This looks like a white cell, a platelet or an empty place, not like a red cell."
    ),
    gettext_noop("This does not look like any red cell the model was trained on."),
    gettext_noop("No red cell was found in this field."),
    gettext_noop("This field is out of focus: parasites cannot be seen in it."),
    gettext_noop("Most of what was found is no red cell as in a stained thin film."),
    gettext_noop("No cell of this field can be counted: all are cut by its edge or rejected."),
)
"""Why an image, or a cell, was rejected."""
ERRORS = (
    gettext_noop("The stored image cannot be opened any more."),
    gettext_noop("Reading took too long and was stopped."),
    gettext_noop("The worker broke off each time it read this image."),
    gettext_noop("An error stopped the reading (%(name)s)."),
)
DEEDS = (
    gettext_noop("command line"),
    gettext_noop("The first model of this installation."),
    gettext_noop("It came with an update."),
    gettext_noop("Trained with --activate."),
)
"""Who changed a model where no person did, and why."""
FIGURES = (
    gettext_noop("Accuracy"),
    gettext_noop("AUC"),
    gettext_noop("F1"),
    gettext_noop("MCC"),
    gettext_noop("Sensitivity"),
    gettext_noop("Specificity"),
    gettext_noop("Calibration error (ECE, 15 bins)"),
    gettext_noop("Brier score"),
    gettext_noop("Share with a confident decision"),
    gettext_noop("Accuracy where confident"),
    gettext_noop("Share rejected as no red cell (counted as errors)"),
)
"""As ml.card names them."""
PARTS = (gettext_noop("test"), gettext_noop("validation"), gettext_noop("other"))
"""Of the slides that a model was measured on."""
EVENTS = (
    gettext_noop("member"),
    gettext_noop("image"),
    gettext_noop("model"),
    gettext_noop("reading"),
    gettext_noop("laboratory"),
    gettext_noop("invitation"),
    gettext_noop("slide"),
    gettext_noop("cell"),
    gettext_noop("report"),
    gettext_noop("settlement"),
    gettext_noop("token"),
    gettext_noop("account"),
    gettext_noop("%(image)s, cell %(number)s"),
    gettext_noop("%(slide)s, report %(number)s"),
    gettext_noop("%(slide)s, read by %(who)s"),
)
"""What things are called in the audit trail."""
CHANGES = (
    gettext_noop("label"),
    gettext_noop("comment"),
    gettext_noop("role"),
    gettext_noop("name"),
    gettext_noop("kind"),
    gettext_noop("reason"),
    gettext_noop("headline"),
    gettext_noop("conclusion"),
    gettext_noop("closed"),
    gettext_noop("second reading"),
    gettext_noop("report language"),
    gettext_noop("images"),
    gettext_noop("form"),
    gettext_noop("box"),
    gettext_noop("low"),
    gettext_noop("high"),
    gettext_noop("active"),
    gettext_noop("version"),
    gettext_noop("password"),
    gettext_noop("e-mail"),
    gettext_noop("first name"),
    gettext_noop("last name"),
    gettext_noop("staff"),
    gettext_noop("superuser"),
    gettext_noop("rights"),
    gettext_noop("second factor"),
    gettext_noop("of"),
    gettext_noop("narrowed"),
    gettext_noop("red cells per microlitre"),
)
"""What of a thing was changed."""
VALUES = (
    gettext_noop("set aside"),
    gettext_noop("none"),
    gettext_noop("parasitized"),
    gettext_noop("uninfected"),
    gettext_noop("uncertain"),
    gettext_noop("rejected"),
    gettext_noop("cannot-tell"),
    gettext_noop("no-cell"),
    gettext_noop("counts"),
    gettext_noop("aside"),
    gettext_noop("positive"),
    gettext_noop("negative"),
    gettext_noop("technician"),
    gettext_noop("clinician"),
    gettext_noop("reviewer"),
    gettext_noop("administrator"),
    gettext_noop("field"),
    gettext_noop("True"),
    gettext_noop("False"),
    gettext_noop("a link to reset it"),
    gettext_noop("a new one"),
    gettext_noop("the former"),
    gettext_noop("who did what"),
)
"""From what to what."""
ALL = (*REFUSALS, *REASONS, *ERRORS, *DEEDS, *FIGURES, *PARTS, *EVENTS, *CHANGES, *VALUES)
PLACE = re.compile(r"%\\\((\w+)\\\)s")
_PLAIN = frozenset(phrase for phrase in ALL if "%(" not in phrase)


def shown(text: str) -> str:
    """In the language of whoever reads; what is not listed stays as it is."""
    if text in _PLAIN:
        return gettext(text)
    for phrase, pattern in _patterns():
        if found := pattern.fullmatch(text):
            return gettext(phrase) % found.groupdict()
    return text


def is_listed(text: str) -> bool:
    return text in _PLAIN or any(pattern.fullmatch(text) for _, pattern in _patterns())


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [
        (phrase, re.compile(PLACE.sub(r"(?P<\1>.+)", re.escape(phrase))))
        for phrase in ALL
        if phrase not in _PLAIN
    ]
