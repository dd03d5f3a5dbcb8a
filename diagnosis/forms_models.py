"""Forms of the model pages, for whoever operates the site."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from ml.decisions import LABEL_THRESHOLD, Thresholds

from . import registry
from .models import ModelVersion

MIDDLE = 100 * LABEL_THRESHOLD


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=300,
        label=_("Reason"),
        help_text=_("It stays on the model's page with your name."),
    )


class ActivationForm(ReasonForm):
    elsewhere = forms.BooleanField(label=_("The folder is on every worker: I have made sure."))

    def __init__(self, *args: Any, version: ModelVersion, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.missing = registry.absence(version)
        if not self.missing:
            del self.fields["elsewhere"]


class ThresholdsForm(ReasonForm):
    """In percent, as pages show probabilities; as strict as ml.decisions.Thresholds."""

    low = forms.FloatField(label=_("Uninfected below (%)"), min_value=0, max_value=MIDDLE)
    high = forms.FloatField(label=_("Parasitized from (%)"), min_value=MIDDLE, max_value=100)
    field_order = ("low", "high", "reason")

    def thresholds(self) -> Thresholds:
        return Thresholds(self.cleaned_data["low"] / 100, self.cleaned_data["high"] / 100)

    @staticmethod
    def values(thresholds: Thresholds | None) -> dict[str, float]:
        if thresholds is None:
            return {}
        return {"low": round(100 * thresholds.low, 2), "high": round(100 * thresholds.high, 2)}
