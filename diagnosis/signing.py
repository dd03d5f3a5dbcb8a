"""The report of a slide: signed, then frozen; to change it, it is amended with a reason.

The slide itself goes on: images and reviews may be added. What was signed stands as it was, and
what differs from it by now is told beside it.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from . import audit, summary, verdict
from .current import lock
from .models import PENDING_STATES, Action, Conclusion, Report, ReportLanguage, Slide

SIGNED_ALREADY = gettext_noop(
    "This slide is signed already. To change its report, amend it with a reason."
)
NOT_SIGNED = gettext_noop("This slide is not signed yet. Sign it first; then it can be amended.")
DELETED = gettext_noop("This slide was deleted: nothing of it can be signed.")
BEING_READ = gettext_noop(
    "Images of this slide are still being read. It can be signed once all are read."
)
NOTHING_READ = gettext_noop("Nothing of this slide could be read, so there is no result to sign.")
BEING_READ_TWICE = gettext_noop("The two readings of this slide are not both closed yet.")
NO_REASON = gettext_noop("Say why the report is amended.")
NOT_SEEN = gettext_noop(
    "This slide or its report changed since you opened the page. Look again, then sign."
)
NOTES = "notes"
PARTS = {
    "images": gettext_noop("images"),
    "crops": gettext_noop("chosen cells"),
    "counts": gettext_noop("red cells of fields"),
    "parasitaemia": gettext_noop("parasitaemia"),
    "finding": gettext_noop("finding"),
    "concluded": gettext_noop("conclusion"),
    "said": gettext_noop("readings"),
    NOTES: gettext_noop("notes on cells"),
    "models": gettext_noop("model"),
}
"""Of a summary, with their names: codes, numbers and what people wrote. The others change with the
site's wording and language, or who is a member."""
FORMER_PARTS = {"concluded": "conclusion", "said": "readings", NOTES: "cell_notes"}
"""What the first format of a summary says in words alone, always in English."""


class CannotSign(ValueError):
    """The text is a sentence for people."""


class NotSeen(CannotSign):
    """It is another slide or report by now than the person looked at."""


@dataclass(frozen=True)
class Change:
    """Between a report and what its slide says now."""

    before: str
    """The headline that was signed."""
    now: str
    parts: list[str]
    language: str = ReportLanguage.ENGLISH.value
    """Of both headlines: the report's."""


@dataclass(frozen=True)
class Standing:
    """How a slide stands to its reports."""

    reports: list[Report]
    """The newest first, each without its content, which may be long, until that is asked for."""
    change: Change | None
    hindrance: str

    @property
    def report(self) -> Report | None:
        return self.reports[0] if self.reports else None


def sign(slide: Slide, by: User, comment: str = "", seen: str = "") -> Report:
    """Its first report. `seen` is the fingerprint of what the person looked at.

    Raises CannotSign.
    """
    return _write(slide, by, comment, "", seen)


def amend(slide: Slide, by: User, reason: str, comment: str = "", seen: str = "") -> Report:
    """A further report, which counts in place of the former. Raises CannotSign."""
    if not reason:
        raise CannotSign(_(NO_REASON))
    return _write(slide, by, comment, reason, seen)


def current(slide: Slide) -> Report | None:
    return slide.reports.first()


def change(report: Report, slide: Slide) -> Change | None:
    signed = report.content
    language = summary.language_of(signed)
    now = summary.of_slide(slide, language)
    parts = [_(word) for name, word in PARTS.items() if _differs(name, signed, now)]
    return Change(signed["headline"], now["headline"], parts, language) if parts else None


def _differs(name: str, signed: dict[str, Any], now: dict[str, Any]) -> bool:
    if name not in signed:
        name = FORMER_PARTS.get(name, name)
    if name == FORMER_PARTS[NOTES] and name not in signed:
        return False  # signed before reports held notes, whatever was written then
    return (signed.get(name) or None) != (now[name] or None)


def has_changed(report: Report, slide: Slide) -> bool:
    return change(report, slide) is not None


def standing(slide: Slide) -> Standing:
    reports = list(slide.reports.defer("content")) if slide.is_signed else []
    changed = change(reports[0], slide) if reports else None
    return Standing(reports, changed, hindrance(slide))


def hindrance(slide: Slide) -> str:
    """Why it cannot be signed or amended now; empty where it can."""
    if slide.deleted_at:
        return _(DELETED)
    if slide.predictions.filter(state__in=PENDING_STATES).exists():
        return _(BEING_READ)
    if not slide.counts_opinions:
        return _(BEING_READ_TWICE)
    if slide.is_read_twice and slide.disputed:
        return _to_settle(slide.disputed)
    has_result = verdict.is_readable(slide) or slide.concluded == Conclusion.POSITIVE
    return "" if has_result else _(NOTHING_READ)


def _to_settle(number: int) -> str:
    sentence = ngettext(
        "The two readings differ in %(count)d point: settle them first.",
        "The two readings differ in %(count)d points: settle them first.",
        number,
    )
    return sentence % {"count": number}


def check(slide: Slide, to_amend: bool) -> Report | None:
    """The report that it has. Raises CannotSign."""
    report = current(slide)
    if to_amend and report is None:
        raise CannotSign(_(NOT_SIGNED))
    if report and not to_amend:
        raise CannotSign(_(SIGNED_ALREADY))
    if reason := hindrance(slide):
        raise CannotSign(reason)
    return report


def fingerprint(former: Report | None, content: dict[str, Any]) -> str:
    """Of what a person has before them who signs: a double click is one report."""
    seen = [former.number if former else 0, content]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


@transaction.atomic
def _write(slide: Slide, by: User, comment: str, reason: str, seen: str) -> Report:
    lock([slide.pk])  # of two who sign at once, the later finds what the first signed
    slide = Slide.objects.get(pk=slide.pk)
    former = check(slide, bool(reason))
    content = summary.of_slide(slide)
    if seen and seen != fingerprint(former, content):
        raise NotSeen(_(NOT_SEEN))
    report = slide.reports.create(
        number=former.number + 1 if former else 1,
        content=content,
        comment=comment,
        reason=reason,
        signed_by=by,
        who=by.get_username(),
    )
    Slide.objects.filter(pk=slide.pk).update(signed_at=report.signed_at)
    verdict.recount([slide.pk])  # what was open is signed for
    action = Action.AMENDED if former else Action.SIGNED
    said = (former.content["headline"] if former else None, content["headline"])
    audit.note(action, report, headline=said, reason=("", reason))
    return report
