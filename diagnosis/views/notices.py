"""What a person is told of: on a page, and by mail if they choose."""

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .. import notices, post
from ..forms import MailChoiceForm
from ..models import MailChoice
from .guard import Asked, signed_in
from .laboratories import GET_OR_POST

PER_PAGE = 50


@require_safe
@signed_in
def notice_list(request: Asked) -> HttpResponse:
    page = Paginator(notices.of(request.user), PER_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "unseen": notices.unseen(request.user)}
    return render(request, "diagnosis/notices.html", context)


@require_safe
def bell(request: HttpRequest) -> HttpResponse:
    """Asked by every page now and then; whoever is signed out keeps what they have before them."""
    if not request.user.is_authenticated:
        return HttpResponse(status=204)
    unseen = notices.unseen(request.user)
    if request.GET.get("seen") == str(unseen):
        return HttpResponse(status=204)
    return render(request, "partials/bell.html", {"unseen": unseen})


@require_POST
@signed_in
def all_seen(request: Asked) -> HttpResponse:
    notices.see(request.user)
    return redirect("notices")


@require_http_methods(GET_OR_POST)
@signed_in
def mail_choices(request: Asked) -> HttpResponse:
    chosen = MailChoice.objects.filter(user=request.user).first() or MailChoice(user=request.user)
    form = MailChoiceForm(request.POST if request.method == "POST" else None, instance=chosen)
    can_send, address = settings.EMAIL_CONFIGURED, post.address_of(request.user)
    if request.method == "POST" and can_send and address:
        chosen.language = get_language() or ""
        form.save()
        messages.success(request, _("Your choice is kept."))
        return redirect("mail_choices")
    context = {"form": form, "can_send": can_send, "address": address, "pause": post.PAUSE}
    status = 400 if request.method == "POST" else 200
    return render(request, "account/mail_choices.html", context, status=status)
