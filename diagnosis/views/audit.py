"""What the administrators of a laboratory alone see of it: who did what, and what was deleted."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from .. import access, audit, deletion, trail
from ..models import Action, Role
from .guard import SignedInRequest, signed_in

PER_PAGE = 50


@signed_in
@require_safe
def events(request: SignedInRequest, pk: str) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    found = trail.events(laboratory, request.user, **_chosen(request))
    context = {
        "laboratory": laboratory,
        "page": Paginator(found, PER_PAGE).get_page(request.GET.get("page")),
        "actions": Action.choices,
        "members": laboratory.memberships.select_related("user").order_by("user__username"),
        **_chosen(request),
    }
    return render(request, "laboratories/events.html", context)


@signed_in
@require_safe
def events_csv(request: SignedInRequest, pk: str) -> HttpResponseBase:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    audit.note(Action.EXPORTED, laboratory, of=(None, "who did what"))
    found = trail.events(laboratory, request.user, **_chosen(request))
    return trail.csv_response(found, "audit")


def _chosen(request: SignedInRequest) -> dict[str, str]:
    return {name: request.GET.get(name, "") for name in ("action", "who")}


@signed_in
@require_safe
def deleted_slides(request: SignedInRequest, pk: str) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    slides = Paginator(deletion.deleted(laboratory), PER_PAGE).get_page(request.GET.get("page"))
    context = {"laboratory": laboratory, "page": slides, "days": deletion.KEPT.days}
    return render(request, "laboratories/deleted.html", context)


@signed_in
@require_POST
def slide_restore(request: SignedInRequest, pk: str, slide: str) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    found = get_object_or_404(deletion.deleted(laboratory), pk=slide)
    try:
        deletion.restore(found)
    except deletion.CodeIsTaken as error:
        messages.error(request, str(error))
        return redirect("laboratory_deleted", laboratory.pk)
    messages.success(request, _("Slide %(code)s is back, as it was.") % {"code": found.code})
    return redirect("slide", found.pk)
