"""A person agrees with what was read of an image, overrules it, or takes that back."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from .. import access, gallery, readings, reviews, signing
from ..forms import ReviewForm
from ..models import SmearImage
from . import fields
from .guard import Asked, signed_in

KEPT = ("show", "order", "page")
"""What the person sees of the slide: a plain form leads back to it."""


@require_POST
@signed_in
def image_review(request: Asked, pk: UUID) -> HttpResponse:
    image = access.get_image_to_review(request.user, pk)
    form = ReviewForm(request.POST)
    if not form.is_valid():
        return _refused(
            request, image, _("Choose one of the answers; a note has 200 letters at most.")
        )
    try:
        review = reviews.say(image, request.user, **form.cleaned_data)
    except (reviews.NothingToReview, reviews.NoReason, readings.NotNow) as error:
        return _refused(request, image, str(error))
    said = {"image": image.name, "opinion": review.get_label_display()}
    return _answered(request, image, _("You reviewed %(image)s: %(opinion)s.") % said)


@require_POST
@signed_in
def image_review_undo(request: Asked, pk: UUID) -> HttpResponse:
    image = access.get_image_to_review(request.user, pk)
    try:
        reviews.take_back(image, request.user)
    except readings.NotNow as error:
        return _refused(request, image, str(error))
    said = _("Your review of %(image)s is taken back.") % {"image": image.name}
    return _answered(request, image, said)


def _answered(request: Asked, image: SmearImage, said: str) -> HttpResponse:
    """The card alone and what is counted above it, or for a plain form the whole page."""
    if not request.headers.get("HX-Request"):
        messages.success(request, said)
        return _back(request, image)
    if _is_on_field(request):
        return HttpResponse(fields.whole_field(request, image))
    context = {
        "slide": image.slide,
        "prediction": gallery.current(image, request.user),
        "may_review": True,
        "signing": signing.standing(image.slide),
        "said": said,
        "again": True,
        **gallery.summary(image.slide, request.GET.get("show", "")),
    }
    return render(request, "diagnosis/card_again.html", context)


def _refused(request: Asked, image: SmearImage, error: str) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return HttpResponse(error, status=400)
    messages.error(request, error)
    return _back(request, image)


def _is_on_field(request: Asked) -> bool:
    return request.GET.get("from") == "field"


def _back(request: Asked, image: SmearImage) -> HttpResponse:
    if _is_on_field(request):
        return redirect("field", image.pk)
    seen = QueryDict(mutable=True)
    seen.update({name: request.GET[name] for name in KEPT if request.GET.get(name)})
    query = f"?{seen.urlencode()}" if seen else ""
    return redirect(f"{reverse('slide', args=[image.slide_id])}{query}#image-{image.pk}")
