"""Small pieces that many pages draw."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import QueryDict
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt

from ml.decisions import LABEL_THRESHOLD, Thresholds

from .. import drawn, gallery, heatmap, notices, opinions, phrases, summary, trail
from ..counting import COUNTED, Found
from ..finding import Result
from ..models import Prediction, Review
from ..verdict import Tally
from ..words import percent as percent_of
from ..words import probability

register = template.Library()
CODE = MarkdownIt("zero").enable("backticks")


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}"></use></svg>',
        extra,
        static("diagnosis/icons.svg"),
        name,
    )


@register.filter
def with_code(text: str) -> SafeString:
    """What stands between backticks as code; nothing else of Markdown, and no HTML."""
    return SafeString(CODE.renderInline(str(text)))  # nosec B703


@register.simple_tag
def badge(status: str) -> SafeString:
    """The shape, the colour and the word of a decision or a state."""
    word = gallery.WORDS[status]
    return format_html('<span class="badge {}">{}{}</span>', status, icon(status), word)


register.simple_tag(gallery.status, name="status")
register.simple_tag(gallery.answer, name="answer")
register.simple_tag(drawn.slide_row, takes_context=True, name="slide_row")
register.filter("is_read", gallery.is_read)
register.filter("kind_of_event", trail.kind)
register.filter("changes_of_event", trail.changes)
register.filter("shown", phrases.shown)
register.filter("language_of", summary.language_of)
register.filter("agreement", gallery.agreement)
register.filter("opinions", gallery.choices)
register.filter("needs_reason", gallery.needs_reason)


@register.filter
def review_by(prediction: Prediction, user: AbstractBaseUser | AnonymousUser) -> Review | None:
    """The one of this person that stands."""
    found = (r for r in standing_reviews(prediction) if user.pk and r.reviewer_id == user.pk)
    return next(found, None)


@register.filter
def standing_reviews(prediction: Prediction) -> list[Review]:
    """As `reviews.with_reviews` fetched them, of the kind that the image was read as."""
    found: list[Review] = getattr(prediction.image, "standing_reviews", [])
    return [review for review in found if opinions.holds(review, prediction)]


@register.simple_tag
def probability_bar(prediction: Prediction) -> SafeString:
    """The probability as a length, over the band in which a person must look."""
    if prediction.probability is None:
        return SafeString("")
    thresholds = prediction.thresholds or Thresholds(LABEL_THRESHOLD, LABEL_THRESHOLD)
    low, high = 100 * thresholds.low, 100 * thresholds.high
    return format_html(
        '<svg class="bar thin" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="band" x="{}" width="{}" height="4"/>'
        '<rect class="{}" width="{}" height="4"/>'
        '<rect class="edge" x="{}" width="0.6" height="4"/>'
        '<rect class="edge" x="{}" width="0.6" height="4"/></svg>',
        f"{low:.2f}",
        f"{high - low:.2f}",
        gallery.answer(prediction),
        f"{100 * prediction.probability:.2f}",
        f"{low:.2f}",
        f"{high:.2f}",
    )


@register.simple_tag
def tally_bar(tally: object, extra: str = "") -> SafeString:
    """How the images of a slide divide, one length for each status."""
    return _bar({name: getattr(tally, name) for name in gallery.STATUSES}, extra)


@register.simple_tag
def row_bar(tally: Tally) -> SafeString:
    """As the sentence beside it: how the red cells of the fields divide, or else the images."""
    if not tally.cells_counted:
        return tally_bar(tally, "thin")
    others = tally.cells_counted - tally.cells_parasitized
    return _bar({"parasitized": tally.cells_parasitized, "others": others}, "thin")


@register.simple_tag
def cells_bar(found: Found) -> SafeString:
    """How the cells that count divide."""
    return _bar({str(name): getattr(found, name) for name in COUNTED}, "")


def _bar(counts: Mapping[str, int], extra: str) -> SafeString:
    total = sum(counts.values()) or 1
    parts, start = [], 0.0
    for name, count in counts.items():
        length = 100 * count / total
        parts.append((name, f"{start:.2f}", f"{length:.2f}"))
        start += length
    return format_html(
        '<svg class="bar {}" viewBox="0 0 100 4" preserveAspectRatio="none" '
        'aria-hidden="true">{}</svg>',
        extra,
        format_html_join("", '<rect class="{}" x="{}" width="{}" height="4"/>', parts),
    )


@register.simple_tag
def heat_key() -> SafeString:
    """The colours of a heatmap from faint to strong."""
    stops = (
        (f"{index / (len(heatmap.RAMP) - 1):.2f}", "#{:02x}{:02x}{:02x}".format(*colour))
        for index, colour in enumerate(heatmap.RAMP)
    )
    return format_html(
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><defs>'
        '<linearGradient id="ramp">{}</linearGradient></defs>'
        '<rect width="100" height="10" fill="url(#ramp)"/></svg>',
        format_html_join("", '<stop offset="{}" stop-color="{}"/>', stops),
    )


@register.simple_tag
def beside(tally: Tally, result: Result | None) -> str:
    """What was counted, as it stands on a slide's page."""
    return tally.beside(result.headline if result else headline(tally.counted))


@register.filter
def headline(sentence: str) -> str:
    return sentence.removesuffix(".")


@register.filter
def percent(value: float | None, digits: int = 0) -> str:
    """A share as people write it; never a rounded 0 % or 100 % that was not exactly so."""
    if value is None:
        return "–"
    return percent_of(value, digits) if digits else probability(value)


@register.simple_tag(takes_context=True)
def unseen_notices(context: Mapping) -> int:
    """Of whoever is signed in."""
    return notices.unseen(context["user"])


@register.simple_tag(takes_context=True)
def query(context: Mapping, **changes: object) -> str:
    """The page's own address with some parameters changed, or dropped where empty."""
    parameters: QueryDict = context["request"].GET.copy()
    for name, value in {"seen": "", **changes}.items():
        parameters.pop(name, None)
        if value not in ("", None):
            parameters[name] = str(value)
    return f"?{parameters.urlencode()}" if parameters else "?"


@register.simple_tag(takes_context=True)
def card(context: Any, prediction: Prediction) -> SafeString:
    """Of an image; its forms lead back to this page."""
    return drawn.card(context, prediction, query(context))
