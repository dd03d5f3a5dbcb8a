from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .. import access, roster
from ..forms_laboratories import (
    HandOverForm,
    InvitationForm,
    LaboratoryForm,
    ReportLanguageForm,
)
from ..models import Laboratory, Role
from .guard import SignedInRequest, signed_in

GET_OR_POST = ["GET", "HEAD", "POST"]


@signed_in
@require_http_methods(GET_OR_POST)
def laboratories(request: SignedInRequest) -> HttpResponse:
    form = LaboratoryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            opened = roster.open_laboratory(request.user, form.cleaned_data["name"])
            return redirect("laboratory", opened.pk)
        except roster.RosterError as error:
            form.add_error(None, str(error))
    memberships = request.user.memberships.select_related("laboratory").order_by("laboratory__name")
    return render(
        request, "laboratories/list.html", {"form": form, "memberships": list(memberships)}
    )


@signed_in
@require_safe
def laboratory(request: SignedInRequest, pk: str) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk)
    return render(request, "laboratories/laboratory.html", _page(request, laboratory))


def _page(request: SignedInRequest, laboratory: Laboratory) -> dict[str, object]:
    own = get_object_or_404(laboratory.memberships, user=request.user)
    members = laboratory.memberships.select_related("user").order_by("user__username")
    context: dict[str, object] = {"laboratory": laboratory, "own": own, "members": members}
    if own.role != Role.ADMINISTRATOR:
        return context
    invitations = roster.open_invitations().filter(laboratory=laboratory)
    return context | {
        "administers": True,
        "roles": Role.choices,
        "invitations": invitations.order_by("expires_at"),
        "invitation_form": InvitationForm(),
        "name_form": LaboratoryForm(instance=laboratory),
        "language_form": ReportLanguageForm(instance=laboratory),
    }


@signed_in
@require_POST
def rename(request: SignedInRequest, pk: str) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    form = LaboratoryForm(request.POST, instance=laboratory)
    if not form.is_valid():
        laboratory.refresh_from_db()
        page = _page(request, laboratory) | {"name_form": form}
        return render(request, "laboratories/laboratory.html", page, status=400)
    roster.rename(laboratory, form.cleaned_data["name"])
    sentence = _("The laboratory is now called %(name)s.")
    messages.success(request, sentence % {"name": laboratory})
    return redirect("laboratory", pk)


@signed_in
@require_POST
def second_reading(request: SignedInRequest, pk: str) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    is_on = "second_reading" in request.POST
    roster.set_second_reading(laboratory, is_on)
    if is_on:
        sentence = _(
            "Slides that are made from now on are read by two people, each blind to the other."
        )
    else:
        sentence = _("Slides that are made from now on are read by one person.")
    messages.success(request, sentence)
    return redirect("laboratory", pk)


@signed_in
@require_POST
def report_language(request: SignedInRequest, pk: str) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    form = ReportLanguageForm(request.POST)
    if not form.is_valid():
        messages.error(request, str(form.errors["report_language"][0]))
        return redirect("laboratory", pk)
    roster.set_report_language(laboratory, form.cleaned_data["report_language"])
    sentence = _("Reports are written in this language from now on: %(language)s.")
    language = laboratory.get_report_language_display()
    messages.success(request, sentence % {"language": language})
    return redirect("laboratory", pk)


@signed_in
@require_http_methods(GET_OR_POST)
def leave(request: SignedInRequest, pk: str) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk)
    own = get_object_or_404(laboratory.memberships, user=request.user)
    if request.method != "POST":
        context = {
            "laboratory": laboratory,
            "closes": roster.holds_nothing(laboratory),
            "is_last": roster.is_last_administrator(own),
        }
        return render(request, "laboratories/leave.html", context)
    try:
        roster.leave(own)
    except roster.RosterError as error:
        messages.error(request, str(error))
        return redirect("laboratory", pk)
    messages.success(request, _("You have left %(laboratory)s.") % {"laboratory": laboratory})
    return redirect("laboratories")


@signed_in
@require_http_methods(GET_OR_POST)
def hand_over(request: SignedInRequest, pk: str) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    own = get_object_or_404(laboratory.memberships, user=request.user)
    form = HandOverForm(request.POST or None, giver=own)
    if request.method != "POST" or not form.is_valid():
        context = {"laboratory": laboratory, "form": form}
        return render(request, "laboratories/hand_over.html", context)
    heir = form.cleaned_data["heir"]
    try:
        roster.hand_over(own, heir)
    except roster.RosterError as error:
        messages.error(request, str(error))
    else:
        sentence = _("%(person)s now administers %(laboratory)s.")
        messages.success(request, sentence % {"person": heir.user, "laboratory": laboratory})
    return redirect("laboratory", pk)
