from typing import Any, cast

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from . import access, audit
from .history import RESULTS, STATUSES
from .models import (
    OPINIONS_OF_IMAGES,
    Action,
    Conclusion,
    Laboratory,
    MailChoice,
    Slide,
    Stain,
)

LONGEST_REASON = 300
EXISTS = _("Slide {link} exists already.")


class ImagesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ImagesField(forms.FileField):
    """Several files; what is in them is the intake's matter, an empty one too."""

    widget = ImagesInput
    default_error_messages = {"required": _("Choose at least one photograph.")}

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile]:
        files = [file for file in data or [] if file]
        if self.required and not files:
            raise forms.ValidationError(self.error_messages["required"], code="required")
        return files


class ImagesForm(forms.Form):
    images = ImagesField()


class SlideForm(forms.ModelForm):
    """A new slide of one of the person's laboratories; most people have one and never choose."""

    stain = forms.ChoiceField(
        label=_("Stain"), choices=[("", _("Not given")), *Stain.choices], required=False
    )

    class Meta:
        model = Slide
        fields = ("laboratory", "code", "stain", "note")
        labels = {"laboratory": _("Laboratory"), "code": _("Code"), "note": _("Note")}
        help_texts = {"note": _("What helps to read it. Never a name.")}

    twin: Slide | None = None
    """The one that has the code already."""

    def __init__(self, *args: Any, user: access.Visitor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.created_by = user
        laboratories = list(access.laboratories_for(user)[:2])
        if len(laboratories) == 1:
            self.instance.laboratory = laboratories[0]
            del self.fields["laboratory"]
            self.fields["code"].widget.attrs["autofocus"] = True
        else:
            choice = cast(forms.ModelChoiceField, self.fields["laboratory"])
            choice.queryset = access.laboratories_for(user)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        laboratory = cleaned.get("laboratory") or self._only_laboratory()
        twins = Slide.objects.filter(
            laboratory=laboratory, code=cleaned.get("code"), deleted_at=None
        )
        self.twin = twins.first() if laboratory else None
        if self.twin:
            self.add_error("code", EXISTS.format(link=self.twin.code))
        return cleaned

    def linked_twin(self) -> str:
        """What is said of it, and the way there."""
        twin = cast(Slide, self.twin)
        address = reverse("slide", args=[twin.pk])
        link = format_html('<a href="{}">{}</a>', address, twin.code)
        return format_html(str(EXISTS), link=link)

    def made(self) -> Slide | None:
        """The slide, or nothing and an error where another one took its code meanwhile."""
        try:
            with transaction.atomic():
                slide: Slide = self.save()
                audit.note(Action.MADE, slide)
                return slide
        except IntegrityError:
            self.add_error("code", gettext("A slide with this code exists already."))
            return None

    def _only_laboratory(self) -> Laboratory | None:
        return None if "laboratory" in self.fields else self.instance.laboratory


class BasisForm(forms.ModelForm):
    class Meta:
        model = Slide
        fields = ("red_cells_per_microlitre",)


class ReviewForm(forms.Form):
    label = forms.ChoiceField(choices=OPINIONS_OF_IMAGES)
    comment = forms.CharField(max_length=200, required=False)
    seen = forms.IntegerField(required=False)


class ReadingForm(forms.Form):
    """What a person concludes of a whole slide; a comment alone may be kept for later."""

    conclusion = forms.ChoiceField(choices=Conclusion, required=False)
    comment = forms.CharField(max_length=500, required=False)
    close = forms.BooleanField(required=False)


class SettleForm(forms.Form):
    """Which difference, what counts there and why; `seen` as in `disputes.settle`."""

    key = forms.CharField(required=False)
    seen = forms.IntegerField(required=False)
    label = forms.CharField(required=False)
    reason = forms.CharField(max_length=LONGEST_REASON, required=False)


class OneReadingForm(forms.Form):
    reason = forms.CharField(max_length=LONGEST_REASON, required=False)


class SignForm(forms.Form):
    comment = forms.CharField(
        label=_("Comment"),
        required=False,
        max_length=500,
        widget=forms.Textarea({"rows": 3}),
        help_text=_("What a reader should know beside the result. Never a patient's name."),
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)


class AmendForm(SignForm):
    reason = forms.CharField(
        label=_("Reason"), max_length=LONGEST_REASON, help_text=_("It stands on the new report.")
    )
    field_order = ("reason", "comment")


class DateInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class HistoryForm(forms.Form):
    """What the history may be narrowed to; what is not understood narrows nothing."""

    q = forms.CharField(label=_("Code, note or file"), required=False, max_length=100)
    result = forms.ChoiceField(
        label=_("Result"), required=False, choices={"": _("Any result"), **RESULTS}
    )
    status = forms.ChoiceField(
        label=_("Status"), required=False, choices={"": _("Any status"), **STATUSES}
    )
    since = forms.DateField(label=_("From"), required=False, widget=DateInput)
    until = forms.DateField(label=_("To"), required=False, widget=DateInput)

    def narrowed(self) -> dict[str, Any]:
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


class TokenForm(forms.Form):
    name = forms.CharField(
        label=_("Name"), max_length=60, help_text=_("Which program or computer it is for.")
    )


class MailChoiceForm(forms.ModelForm):
    class Meta:
        model = MailChoice
        fields = ("critical", "uploaded")
