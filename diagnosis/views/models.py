from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from .. import figures
from ..models import ModelVersion


@require_safe
def model(request: HttpRequest) -> HttpResponse:
    """Open to all: whoever weighs whether to trust a result may see what it rests on."""
    version = ModelVersion.objects.filter(is_active=True).first()
    context = {"version": version, "place": "model"}
    if version:
        context |= figures.of(version)
    return render(request, "diagnosis/model.html", context)
