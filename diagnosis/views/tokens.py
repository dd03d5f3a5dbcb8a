"""Personal tokens: made, shown once, revoked."""

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from .. import tokens
from ..forms import TokenForm
from .guard import Asked, signed_in
from .laboratories import GET_OR_POST


@require_http_methods(GET_OR_POST)
@signed_in
@reauthentication_required
@never_cache
def token_list(request: Asked) -> HttpResponse:
    form = TokenForm(request.POST or None)
    context: dict[str, object] = {"form": form}
    if request.method == "POST" and form.is_valid():
        try:
            context["made"], context["text"] = tokens.new(request.user, form.cleaned_data["name"])
        except tokens.Refused as error:
            form.add_error("name", str(error))
    context["tokens"] = request.user.tokens.all()
    status = 400 if form.errors else 200
    return render(request, "account/tokens.html", context, status=status)


@require_POST
@signed_in
def token_revoke(request: Asked, pk: int) -> HttpResponse:
    token = get_object_or_404(request.user.tokens, pk=pk)
    tokens.revoke(token)
    sentence = _("%(token)s is revoked: it no longer opens anything.")
    messages.success(request, sentence % {"token": token})
    return redirect("tokens")
