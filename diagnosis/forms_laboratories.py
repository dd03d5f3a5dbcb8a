"""Forms of the laboratory pages."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from .models import Invitation, Laboratory, Membership, Role


class LaboratoryForm(forms.ModelForm):
    class Meta:
        model = Laboratory
        fields = ["name"]
        labels = {"name": _("Name")}


class ReportLanguageForm(forms.ModelForm):
    class Meta:
        model = Laboratory
        fields = ["report_language"]
        labels = {"report_language": _("Language")}
        help_texts = {"report_language": ""}


class InvitationForm(forms.ModelForm):
    class Meta:
        model = Invitation
        fields = ["role", "note"]
        labels = {"role": _("Role"), "note": _("Whom it is for (optional)")}
        help_texts = {"note": ""}


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role)


class HandOverForm(forms.Form):
    heir = forms.ModelChoiceField(
        Membership.objects.none(),
        label=_("New administrator"),
        empty_label=_("Choose a member"),
    )

    def __init__(self, *args: Any, giver: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = giver.laboratory.memberships.exclude(pk=giver.pk).select_related("user")
        heir: Any = self.fields["heir"]
        heir.queryset = others.order_by("user__username")
        heir.label_from_instance = lambda member: (
            f"{member.user.get_username()} ({member.get_role_display().lower()})"
        )
