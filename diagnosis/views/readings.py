"""What a person concludes of a whole slide; two readings of it, and where they differ."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from .. import access, blindness, disputes, readings
from ..forms import OneReadingForm, ReadingForm, SettleForm
from ..models import Conclusion, Slide
from .guard import Asked, signed_in, wants_json


@require_POST
@signed_in
def slide_reading(request: Asked, pk: UUID) -> HttpResponse:
    slide = access.get_slide_to_sign(request.user, pk)
    form = ReadingForm(request.POST)
    try:
        if not form.is_valid():
            raise readings.NotNow(_("Choose one of the conclusions; a comment has 500 letters."))
        reading = readings.conclude(slide, request.user, **form.cleaned_data)
    except readings.NotNow as error:
        if wants_json(request):
            return JsonResponse({"error": str(error)}, status=409)
        messages.error(request, str(error))
    else:
        is_closed = slide.is_read_twice and reading.closed_at
        if wants_json(request) and not is_closed:
            said = {"kept": reading.conclusion, "html": _concluded(request, slide)}
            return JsonResponse(said)
        messages.success(request, _("Your reading is closed.") if is_closed else _("Kept."))
    return JsonResponse({"kept": True}) if wants_json(request) else _back(slide)


@require_POST
@signed_in
def slide_settle(request: Asked, pk: UUID) -> HttpResponse:
    slide = access.get_slide_to_sign(request.user, pk)
    form = SettleForm(request.POST)
    try:
        if not form.is_valid():
            raise disputes.CannotSettle(str([*form.errors.values()][0][0]))
        disputes.settle(slide, request.user, **form.cleaned_data)
    except disputes.CannotSettle as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Settled."))
    return _back(slide)


@require_POST
@signed_in
def slide_one_reading(request: Asked, pk: UUID) -> HttpResponse:
    slide = access.get_slide_to_administer(request.user, pk)
    form = OneReadingForm(request.POST)
    try:
        if not form.is_valid():
            raise readings.NotNow(str(form.errors["reason"][0]))
        readings.let_one_do(slide, request.user, **form.cleaned_data)
    except readings.NotNow as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request, _("One reading is enough for this slide now. What was said counts.")
        )
    return _back(slide)


@require_POST
@signed_in
def slide_second_reader(request: Asked, pk: UUID) -> HttpResponse:
    slide = access.get_slide_to_sign(request.user, pk)
    takes_back = "take_back" in request.POST
    try:
        if takes_back:
            readings.take_back_second(slide, request.user)
        else:
            readings.ask_for_second(slide, request.user)
    except readings.NotNow as error:
        messages.error(request, str(error))
    else:
        asked = _(
            "This slide waits for a second reader now, who sees nothing of the first reading."
        )
        back = _("One person reads this slide again. What was said counts.")
        messages.success(request, back if takes_back else asked)
    return _back(slide)


def panel(request: Asked, slide: Slide, may_review: bool) -> dict[str, Any]:
    """What the page of a slide says of its readings."""
    known = list(slide.readings.all())
    mine = next((one for one in known if one.reader_id == request.user.pk), None)
    hidden = blindness.hides(request.user, slide)
    differences = disputes.of_slide(slide)
    is_awaited = may_review and readings.is_awaited(slide, known)
    return {
        "my_reading": mine,
        "readings": [one for one in known if not hidden or one == mine],
        "is_blind": hidden,
        "cannot_read": readings.hindrance(slide, known, request.user) if may_review else "",
        "conclusions": Conclusion.choices,
        "differences": differences,
        "differ": any(one.differs for one in differences),
        "may_ask": may_review and not slide.is_read_twice and not readings.not_to_ask(slide),
        "is_awaited": is_awaited,
        "may_take_back": is_awaited and readings.may_take_back(slide, known, request.user),
        "administers": slide.is_read_twice and access.administers(request.user, slide),
    }


def _concluded(request: Asked, slide: Slide) -> str:
    context = panel(request, slide, may_review=True)
    return render_to_string("diagnosis/concluded.html", context, request)


def _back(slide: Slide) -> HttpResponse:
    return redirect(reverse("slide", args=[slide.pk]) + "#reading")
