from collections.abc import Container
from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from .. import access, audit, heatmap, intake, registry, thumbnails
from ..models import SmearImage
from .guard import Asked, signed_in

# A picture never changes; it is kept by the one browser that was let in, by nothing between.
SECONDS = 24 * 3600


@require_safe
@signed_in
def image_photo(request: Asked, pk: UUID) -> HttpResponseBase:
    image = access.get_image(request.user, pk)
    if "small" not in request.GET:  # those are parts of a page, whose opening is noted
        audit.saw([image.slide])
    try:
        response = _photo(image, request.GET)
    except FileNotFoundError:
        raise Http404 from None
    patch_cache_control(response, private=True, max_age=SECONDS)
    return response


def _photo(image: SmearImage, asked: Container[str]) -> HttpResponseBase:
    size = image.width, image.height
    if "small" in asked and thumbnails.is_needed(*size):
        with image.file.open() as file:
            return HttpResponse(thumbnails.thumbnail(file), content_type="image/webp")
    if "view" in asked and thumbnails.has_view(*size):
        return HttpResponse(thumbnails.view(image), content_type="image/webp")
    return FileResponse(image.file.open(), content_type="image/png", filename=f"{image.pk}.png")


@require_safe
@signed_in
def image_heatmap(request: Asked, pk: UUID) -> HttpResponse:
    image = access.get_image(request.user, pk)
    prediction = image.predictions.filter(is_current=True).first()
    if prediction is None or not prediction.activation:
        raise Http404
    picture = heatmap.draw(prediction.activation, image.width, image.height)
    response = HttpResponse(picture, content_type="image/png")
    patch_cache_control(response, private=True, max_age=SECONDS)
    return response


@require_POST
@signed_in
def image_retry(request: Asked, pk: UUID) -> HttpResponse:
    image = access.get_image(request.user, pk)
    try:
        is_queued = intake.retry(image)
    except registry.NoModel as error:
        messages.error(request, str(error))
    else:
        sentence = _("%(image)s will be read again.")
        if not is_queued:  # the page was an old one
            sentence = _("%(image)s has not failed.")
        messages.info(request, sentence % {"image": image.name})
    return redirect("slide", image.slide_id)
