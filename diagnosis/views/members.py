"""What the administrator of a laboratory does with its members."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from .. import access, audit, passwords, roster
from ..forms_laboratories import RoleForm
from ..models import Action, Membership, Role
from .guard import SignedInRequest, signed_in
from .laboratories import GET_OR_POST


def _member(request: SignedInRequest, pk: str, member: int) -> Membership:
    laboratory = access.get_laboratory(request.user, pk, role=Role.ADMINISTRATOR)
    return get_object_or_404(laboratory.memberships.select_related("user", "laboratory"), pk=member)


@signed_in
@require_POST
def change_role(request: SignedInRequest, pk: str, member: int) -> HttpResponse:
    membership = _member(request, pk, member)
    form = RoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose one of the roles."))
        return redirect("laboratory", pk)
    try:
        roster.change_role(membership, form.cleaned_data["role"])
    except roster.RosterError as error:
        messages.error(request, str(error))
    else:
        role = str(Role(form.cleaned_data["role"]).label).lower()
        names = {"person": membership.user, "role": role, "laboratory": membership.laboratory}
        messages.success(request, _("%(person)s is now %(role)s of %(laboratory)s.") % names)
    return redirect("laboratory", pk)


@signed_in
@require_http_methods(GET_OR_POST)
def remove(request: SignedInRequest, pk: str, member: int) -> HttpResponse:
    membership = _member(request, pk, member)
    if membership.user == request.user:
        return redirect("laboratory_leave", pk)
    if request.method != "POST":
        return render(request, "laboratories/remove.html", {"member": membership})
    try:
        roster.remove(membership)
    except roster.RosterError as error:
        messages.error(request, str(error))
    else:
        names = {"person": membership.user, "laboratory": membership.laboratory}
        messages.success(request, _("%(person)s no longer belongs to %(laboratory)s.") % names)
    return redirect("laboratory", pk)


@signed_in
@require_http_methods(GET_OR_POST)
@never_cache
def reset_password(request: SignedInRequest, pk: str, member: int) -> HttpResponse:
    membership = _member(request, pk, member)
    context: dict[str, object] = {"member": membership, "hours": passwords.link_hours()}
    if not passwords.may_reset(request.user, membership.user):
        return render(request, "laboratories/reset_refused.html", context, status=403)
    if request.method == "POST":
        path = passwords.reset_path(membership.user)
        context["link"] = request.build_absolute_uri(path)
        audit.note(Action.CHANGED, membership, password=(None, "a link to reset it"))
    return render(request, "laboratories/reset.html", context)
