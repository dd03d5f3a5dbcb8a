"""The models of this installation: what each is, and which one reads new images how."""

from typing import Any

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from .. import access, comparison, figures, registry
from ..forms_models import ActivationForm, ReasonForm, ThresholdsForm
from ..models import ModelVersion
from .guard import Asked, signed_in

GET_OR_POST = ["GET", "HEAD", "POST"]
SECONDS = 3600


@require_safe
def model(request: HttpRequest) -> HttpResponse:
    """Open to all: whoever weighs whether to trust a result may see what it rests on."""
    version = ModelVersion.objects.filter(is_active=True).first()
    context: dict[str, Any] = {"version": version, "place": "model"}
    if version:
        context |= figures.of(version)
    if request.user.is_authenticated:
        context |= _all(request.user)
    return render(request, "diagnosis/model.html", context)


def _all(user: access.Visitor) -> dict[str, Any]:
    versions = list(access.versions_for(user))
    return {
        "rows": [figures.row(version) for version in versions],
        "versions": versions,
        "history": registry.history(),
        "former": registry.former(),
        "operates": access.is_operator(user),
    }


@require_safe
@signed_in
def version(request: Asked, pk: int) -> HttpResponse:
    version = access.get_version(request.user, pk)
    parts = figures.parts(version)
    context = figures.of(version) | {
        "parts": list(parts),
        "table": figures.table(list(parts.values())),
        "history": registry.history(version),
        "operates": access.is_operator(request.user),
        "place": "model",
    }
    return render(request, "diagnosis/version.html", context)


@require_safe
@signed_in
def plot(request: Asked, pk: int, name: str) -> HttpResponseBase:
    path = figures.plot(access.get_version(request.user, pk), name)
    if path is None:
        raise Http404
    response = FileResponse(path.open("rb"), content_type="image/png")
    patch_cache_control(response, private=True, max_age=SECONDS)
    return response


@require_safe
@signed_in
def compare(request: Asked) -> HttpResponse:
    chosen = (request.GET.get(name, "") for name in ("one", "other"))
    one, other = (access.get_version(request.user, pk) for pk in chosen)
    context = {"versions": access.versions_for(request.user), "place": "model"}
    return render(request, "diagnosis/compare.html", context | comparison.of(one, other))


@require_http_methods(GET_OR_POST)
@signed_in
def activate(request: Asked, pk: int) -> HttpResponse:
    version = access.get_version(request.user, pk, to_change=True)
    form = ActivationForm(request.POST or None, version=version)
    posted = request.method == "POST"
    if posted and form.is_valid():
        changed = registry.activate(version, form.cleaned_data["reason"], request.user)
        names = {"version": version}
        done, already = _("%(version)s now reads new images."), _("%(version)s did so already.")
        _tell(request, changed, done % names, already % names)
        return redirect("model")
    before = ModelVersion.objects.filter(is_active=True).first()
    context = {"version": version, "before": before, "form": form, "place": "model"}
    return render(request, "diagnosis/activate.html", context, status=400 if posted else 200)


@require_http_methods(GET_OR_POST)
@signed_in
def thresholds(request: Asked, pk: int) -> HttpResponse:
    """One form sets them, the other puts the model's own back."""
    version = access.get_version(request.user, pk, to_change=True)
    band, own = registry.band_of(version), version.own_thresholds
    in_force = band.thresholds if band else own
    to_set, to_reset = request.POST or None, None
    if "own" in request.POST:
        to_set, to_reset = None, request.POST
    form = ThresholdsForm(to_set, initial=ThresholdsForm.values(in_force))
    back = ReasonForm(to_reset, prefix="back")
    if form.is_valid():
        return _set(request, version, form)
    if back.is_valid():
        return _put_back(request, version, back)
    context = {"version": version, "form": form, "back": back, "band": band, "own": own}
    context |= {"thresholds": in_force, "place": "model"}
    status = 400 if request.method == "POST" else 200
    return render(request, "diagnosis/thresholds.html", context, status=status)


def _set(request: Asked, version: ModelVersion, form: ThresholdsForm) -> HttpResponse:
    reason = form.cleaned_data["reason"]
    changed = registry.set_band(version, form.thresholds(), reason, request.user)
    done, already = _("New readings are decided so."), _("These thresholds count already.")
    _tell(request, changed, done, already)
    return redirect("model_version", version.pk)


def _put_back(request: Asked, version: ModelVersion, form: ReasonForm) -> HttpResponse:
    changed = registry.set_band(version, None, form.cleaned_data["reason"], request.user)
    done, already = _("The model's own thresholds count again."), _("They count already.")
    _tell(request, changed, done, already)
    return redirect("model_version", version.pk)


def _tell(request: Asked, changed: bool, done: str, already: str) -> None:
    if changed:
        messages.success(request, done)
    else:
        messages.info(request, already)
