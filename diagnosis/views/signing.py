"""A slide's report: signed, amended, read."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from .. import access, audit, signing, summary
from ..forms import AmendForm, SignForm
from ..models import Report, Slide
from .guard import Asked, signed_in

GET_OR_POST = ["GET", "HEAD", "POST"]


@require_http_methods(GET_OR_POST)
@signed_in
def slide_sign(request: Asked, pk: UUID) -> HttpResponse:
    slide = access.get_slide_to_sign(request.user, pk)
    return _answer(request, slide, SignForm, signing.sign)


@require_http_methods(GET_OR_POST)
@signed_in
def slide_amend(request: Asked, pk: UUID) -> HttpResponse:
    slide = access.get_slide_to_sign(request.user, pk)
    return _answer(request, slide, AmendForm, signing.amend)


def _answer(
    request: Asked, slide: Slide, kind: type[SignForm], write: Callable[..., Report]
) -> HttpResponse:
    posted = request.method == "POST"
    form = kind(request.POST if posted else None)
    try:
        former = signing.check(slide, kind is AmendForm)
        if posted and form.is_valid():
            report = write(slide, request.user, **form.cleaned_data)
            names = {"number": report.number, "code": slide.code}
            messages.success(request, _("Report %(number)d of %(code)s is signed.") % names)
            return redirect("slide_report", slide.pk, report.number)
    except signing.CannotSign as error:
        messages.error(request, str(error))
        # A second click on an amendment finds it signed; else what was written is still wanted.
        if kind is AmendForm or not isinstance(error, signing.NotSeen):
            return redirect("slide", slide.pk)
    audit.saw([slide])
    context = _to_sign(slide, former) | {"form": form, "place": "history"}
    return render(request, "diagnosis/sign.html", context, status=400 if posted else 200)


def _to_sign(slide: Slide, former: Report | None) -> dict[str, Any]:
    content = summary.of_slide(slide)
    return {
        "slide": slide,
        "former": former,
        "change": signing.change(former, slide) if former else None,
        "content": content,
        "seen": signing.fingerprint(former, content),
    }


@require_safe
@signed_in
def slide_report(request: Asked, pk: UUID, number: int) -> HttpResponse:
    slide = access.get_slide(request.user, pk)
    report = get_object_or_404(slide.reports, number=number)
    audit.saw([slide])
    context = {
        "slide": slide,
        "report": report,
        "content": report.content,
        "signing": signing.standing(slide),
        "may_review": access.may_review(request.user, slide),
        "place": "history",
    }
    return render(request, "diagnosis/report.html", context)
