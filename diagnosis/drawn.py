"""Parts of pages that are drawn once and kept, each under all that it shows.

To draw the card of an image costs more than to find it. A part is given nothing but what its key
names, or can be told from that: what changes has another key at once, and the card that one person
sees is never shown to another. Each web process keeps its own.
"""

import hashlib
import secrets
from typing import Any

from django.core.cache import caches
from django.db.models import Model
from django.template import Context, Engine
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from .models import Prediction
from .overview import Row

TOKEN = secrets.token_hex(16)
"""Stands in what is kept for the token against forged requests, which each page has of its own."""
OF_THE_PAGE = ("may_review", "silence", "both_saw_until")
"""What a card is told of whoever looks at it, beside who it is."""


def card(context: Context, prediction: Prediction, query: str) -> SafeString:
    """Of an image, as `gallery` finds its reading for this person."""
    image, model, twin = prediction.image, prediction.model, prediction.same_as
    page = {name: context.get(name) for name in OF_THE_PAGE}
    others = [(_values(other), other.model.name) for other in image.others]  # type: ignore[attr-defined]
    reviews = [(_values(one), str(one.reviewer)) for one in image.standing_reviews]  # type: ignore[attr-defined]
    shown = [context["user"].pk, query, page, _values(prediction), prediction.found, _values(image)]  # type: ignore[attr-defined]
    shown += [str(image.uploaded_by), model.name, twin and twin.slide.code, reviews, others]
    given = {"prediction": prediction, "image": image, **page}
    given |= {name: context.get(name) for name in ("user", "request")}
    return _part(context, "diagnosis/cell.html", given, shown)


def slide_row(context: Context, row: Row) -> SafeString:
    """Of a slide, in the history."""
    slide = row.slide
    shown = [_values(slide), row.tally, row.images]
    given = {"row": row, "slide": slide, "tally": row.tally}
    return _part(context, "diagnosis/slide_row.html", given, shown)


def _values(row: Model) -> list[Any]:
    """Of what was loaded: the rest no card shows."""
    names = [field.attname for field in row._meta.concrete_fields]
    return [getattr(row, name) for name in names if name in row.__dict__]


def _part(context: Context, template: str, given: dict[str, Any], shown: list[Any]) -> SafeString:
    named = repr([template, get_language(), *shown])
    key, kept = hashlib.sha256(named.encode()).hexdigest(), caches["parts"]
    html = kept.get(key)
    if html is None:
        apart = context.new({**given, "csrf_token": TOKEN})
        html = Engine.get_default().get_template(template).render(apart)
        kept.set(key, html)
    # Escaped by its template; a token is letters and digits.
    return SafeString(html.replace(TOKEN, str(context.get("csrf_token", ""))))  # nosec B703
