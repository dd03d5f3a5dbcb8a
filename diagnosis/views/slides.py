from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ml.limits import MAX_BYTES

from .. import (
    access,
    again,
    audit,
    deletion,
    documents,
    gallery,
    intake,
    limits,
    notices,
    readings,
    registry,
    signing,
    verdict,
    waiting,
)
from ..forms import EXISTS, BasisForm, ImagesForm, SlideForm
from ..models import Slide
from .guard import Asked, signed_in, wants_json
from .readings import panel


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def slide_new(request: Asked) -> HttpResponse:
    """A script makes the slide first and sends each file on its own; a plain form sends all."""
    form = SlideForm(request.POST or None, user=request.user)
    images = ImagesForm(request.POST or None, request.FILES or None)
    posted = request.method == "POST"
    if posted and wants_json(request):
        return _made(form)
    if posted and form.is_valid() and images.is_valid() and (slide := form.made()):
        return _received(request, slide, images)
    context = {"form": form, "images": images, "max_bytes": MAX_BYTES, "place": "new"}
    return render(request, "diagnosis/slide_new.html", context, status=400 if posted else 200)


def _made(form: SlideForm) -> JsonResponse:
    slide = form.made() if form.is_valid() else None
    if slide is None:
        return _not_made(form)
    addresses = {"url": reverse("slide", args=[slide.pk])}
    addresses["images"] = reverse("slide_images", args=[slide.pk])
    return JsonResponse(addresses, status=201)


def _not_made(form: SlideForm) -> JsonResponse:
    answer: dict[str, object] = {"errors": form.errors}
    if twin := form.twin:
        address = reverse("slide", args=[twin.pk])
        answer["taken"] = {"text": EXISTS, "code": twin.code, "url": address}
    return JsonResponse(answer, status=400)


@require_safe
@gzip_page
@signed_in
def slide(request: Asked, pk: UUID) -> HttpResponse:
    found = access.get_slide(request.user, pk)
    audit.saw([found])
    notices.see(request.user, slide=found)
    context = _results(request, found) | {
        "max_bytes": MAX_BYTES,
        "may_delete": access.may_delete(request.user, found),
        "signing": signing.standing(found),
    }
    context |= panel(request, found, bool(context["may_review"]))
    return render(request, "diagnosis/slide.html", context)


@require_safe
@gzip_page
@signed_in
def slide_results(request: Asked, pk: UUID) -> HttpResponse:
    """What the page of a slide asks again and again while its images are read."""
    found = access.get_slide(request.user, pk)
    seen = request.GET.get("seen")
    if seen and seen == gallery.summary(found, request.GET.get("show", ""))["seen"]:
        return HttpResponse(status=204)
    context = _results(request, found) | {"signing": signing.standing(found)}
    return render(request, "diagnosis/results.html", context)


@require_safe
@signed_in
def slide_next(request: Asked, pk: UUID | None = None) -> HttpResponse:
    """The slide that needs this person most, or the next one after the one they are at."""
    here = access.get_slide(request.user, pk) if pk else None
    found = waiting.following(request.user, here)
    if found:
        return redirect("slide", found.pk)
    messages.info(
        request, _("No other slide needs you now.") if here else _("No slide needs you now.")
    )
    return redirect("slide", here.pk) if here else redirect("history")


def _results(request: Asked, slide: Slide) -> dict[str, object]:
    chosen = {name: request.GET.get(name, "") for name in ("show", "order", "page")}
    may_review = access.may_review(request.user, slide)
    context = {
        "slide": slide,
        "place": "history",
        "may_review": may_review,
        "silence": readings.silence(slide, request.user),
    }
    return context | gallery.results(slide, request.user, **chosen)


@require_POST
@signed_in
def slide_images(request: Asked, pk: UUID) -> HttpResponse:
    slide = access.get_slide(request.user, pk)
    form = ImagesForm(request.POST, request.FILES)
    if form.is_valid():
        return _received(request, slide, form)
    return _refused(request, slide, str(form.errors["images"][0]), status=400)


def _received(request: Asked, slide: Slide, form: ImagesForm) -> HttpResponse:
    files = form.cleaned_data["images"]
    try:
        limits.check(request.user, slide.laboratory_id, [file.size or 0 for file in files])
        receipts = intake.receive(slide, files, request.user)
    except limits.TooMuch as error:
        return _refused(request, slide, str(error), status=error.status)
    except registry.NoModel as error:
        return _refused(request, slide, str(error), status=503)
    if wants_json(request):
        return JsonResponse({"receipts": [_receipt(receipt) for receipt in receipts]})
    _tell(request, receipts)
    return redirect("slide", slide.pk)


def _refused(request: Asked, slide: Slide, error: str, status: int) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({"error": error}, status=status)
    messages.error(request, error)
    return redirect("slide", slide.pk)


def _receipt(receipt: intake.Receipt) -> dict[str, str | None]:
    return {
        "name": receipt.name,
        "image": str(receipt.image.pk) if receipt.image else None,
        "refusal": receipt.refusal,
        "note": receipt.note,
        "code": receipt.code,
    }


def _tell(request: Asked, receipts: list[intake.Receipt]) -> None:
    received = sum(receipt.image is not None for receipt in receipts)
    if received:
        sentence = ngettext(
            "%(received)d of %(sent)d files received.",
            "%(received)d of %(sent)d files received.",
            len(receipts),
        )
        messages.success(request, sentence % {"received": received, "sent": len(receipts)})
    for receipt in receipts:
        if receipt.refusal:
            messages.error(request, f"{receipt.name}: {receipt.refusal}")
        elif receipt.note:
            messages.info(request, f"{receipt.name}: {receipt.note}")


@require_POST
@signed_in
def slide_again(request: Asked, pk: UUID) -> HttpResponse:
    slide = access.get_slide(request.user, pk)
    try:
        number = again.analyse_again(slide)
    except registry.NoModel as error:
        messages.error(request, str(error))
    else:
        messages.info(request, _read_again(number))
    return redirect("slide", slide.pk)


def _read_again(number: int) -> str:
    if not number:
        return _("No images are read by the active version now. Earlier results are kept.")
    sentence = ngettext(
        "%(count)d image is read by the active version now. Earlier results are kept.",
        "%(count)d images are read by the active version now. Earlier results are kept.",
        number,
    )
    return sentence % {"count": number}


@require_POST
@signed_in
def slide_retry(request: Asked, pk: UUID) -> HttpResponse:
    """All its images that failed, at one click."""
    slide = access.get_slide(request.user, pk)
    try:
        number = intake.retry_all(slide)
    except registry.NoModel as error:
        messages.error(request, str(error))
    else:
        messages.info(request, _tried_again(number))
    return redirect("slide", slide.pk)


def _tried_again(number: int) -> str:
    if not number:
        return _("No image of this slide has failed.")
    sentence = ngettext(
        "%(count)d image will be read again.", "%(count)d images will be read again.", number
    )
    return sentence % {"count": number}


@require_POST
@signed_in
def slide_basis(request: Asked, pk: UUID) -> HttpResponse:
    """The measured red cell count, by which the parasites per µL are worked out."""
    slide = access.get_slide(request.user, pk)
    form = BasisForm(request.POST, instance=slide)
    if form.is_valid():
        verdict.set_basis(slide, form.cleaned_data["red_cells_per_microlitre"])
        messages.success(request, _("The red cell count of this slide is kept."))
    else:
        messages.error(request, str(form.errors["red_cells_per_microlitre"][0]))
    return redirect("slide", slide.pk)


@require_safe
@signed_in
def slide_csv(request: Asked, pk: UUID) -> HttpResponseBase:
    return documents.csv_response(access.get_slide(request.user, pk), request.user)


@require_safe
@signed_in
def slide_cells_csv(request: Asked, pk: UUID) -> HttpResponseBase:
    return documents.cells_response(access.get_slide(request.user, pk), request.user)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def slide_delete(request: Asked, pk: UUID) -> HttpResponse:
    slide = access.get_slide_to_delete(request.user, pk)
    if request.method != "POST":
        context = {"slide": slide, "days": deletion.KEPT.days, "place": "history"}
        return render(request, "diagnosis/slide_delete.html", context)
    deletion.delete(slide, request.user)
    sentence = _(
        "Slide %(code)s is deleted. An administrator of %(laboratory)s can restore it "
        "within %(days)d days."
    )
    names = {"code": slide.code, "laboratory": slide.laboratory, "days": deletion.KEPT.days}
    messages.success(request, sentence % names)
    return redirect("history")
