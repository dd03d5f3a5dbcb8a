"""Links that make whoever opens them, once and in time, a member of a laboratory."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from .. import access, roster
from ..forms_laboratories import InvitationForm
from ..models import INVITATION_DAYS, Invitation, Role
from .guard import SignedInRequest, signed_in
from .laboratories import GET_OR_POST


@signed_in
@require_POST
def invite(request: SignedInRequest, pk: str) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    form = InvitationForm(
        request.POST, instance=Invitation(laboratory=laboratory, invited_by=request.user)
    )
    if not form.is_valid():
        messages.error(request, _("Choose one of the roles, and keep the note short."))
        return redirect("laboratory", pk)
    try:
        roster.invite(form.save(commit=False))
    except roster.RosterError as error:
        messages.error(request, str(error))
    else:
        sentence = _("The link is ready: it works once, within %(days)d days.")
        messages.success(request, sentence % {"days": INVITATION_DAYS})
    return redirect("laboratory", pk)


@signed_in
@require_POST
def revoke(request: SignedInRequest, pk: str, invitation: int) -> HttpResponse:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    found = get_object_or_404(laboratory.invitations.filter(accepted_by=None), pk=invitation)
    try:
        roster.take_back(found)
    except roster.RosterError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The invitation is taken back: its link no longer works."))
    return redirect("laboratory", pk)


@require_http_methods(GET_OR_POST)
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    found = Invitation.objects.select_related("laboratory", "invited_by").filter(token=token)
    invitation = found.first()
    user = request.user
    if invitation and invitation.laboratory.memberships.filter(user=user.pk).exists():
        return redirect("laboratory", invitation.laboratory.pk)
    if not invitation or not invitation.is_open:
        return render(request, "laboratories/invitation_over.html", status=404)
    if request.method != "POST" or not user.is_authenticated:
        return render(request, "laboratories/invitation.html", {"invitation": invitation})
    try:
        roster.accept(invitation, user)
    except roster.RosterError as error:
        messages.error(request, str(error))
        return redirect("laboratories")
    sentence = _("You now belong to %(laboratory)s.")
    messages.success(request, sentence % {"laboratory": invitation.laboratory})
    return redirect("laboratory", invitation.laboratory.pk)
