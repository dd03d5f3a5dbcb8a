"""The operator's view: what there is and how it goes. Results are read here, never written."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from .models import (
    CellReview,
    Event,
    Invitation,
    Laboratory,
    Membership,
    ModelVersion,
    Prediction,
    Report,
    Review,
    Slide,
    SmearImage,
)


class ReadOnly(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class Memberships(admin.TabularInline):
    model = Membership
    extra = 0
    can_delete = False
    readonly_fields = ("user", "role", "joined_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Laboratory)
class LaboratoryAdmin(admin.ModelAdmin):
    """Only its name changes here: `roster` keeps every laboratory with an administrator."""

    list_display = ("name", "created_at")
    search_fields = ("name",)
    inlines = (Memberships,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Invitation)
class InvitationAdmin(ReadOnly):
    list_display = ("laboratory", "role", "note", "invited_by", "created_at", "expires_at")
    list_select_related = ("laboratory", "invited_by")
    exclude = ("token",)


@admin.register(Slide)
class SlideAdmin(ReadOnly):
    list_display = ("code", "laboratory", "stain", "created_by", "created_at")
    list_select_related = ("laboratory", "created_by")
    list_filter = ("stain",)
    date_hierarchy = "created_at"
    search_fields = ("code", "laboratory__name")


@admin.register(SmearImage)
class SmearImageAdmin(ReadOnly):
    list_display = ("name", "slide", "kind", "width", "height", "created_at")
    list_select_related = ("slide",)
    list_filter = ("kind",)
    search_fields = ("=id", "slide__code")
    exclude = ("file",)
    show_full_result_count = False


@admin.register(Prediction)
class PredictionAdmin(ReadOnly):
    list_display = (
        "id", "slide", "kind", "state", "decision", "probability", "model", "attempts", "error",
        "queued_at", "finished_at",
    )  # fmt: skip
    list_select_related = ("slide", "model")
    list_filter = ("kind", "state", "decision", "model")
    search_fields = ("=id", "slide__code", "error")
    show_full_result_count = False


@admin.register(Review)
class ReviewAdmin(ReadOnly):
    list_display = ("id", "image", "reviewer", "label", "is_standing", "created_at")
    list_select_related = ("image", "reviewer")
    list_filter = ("label", "is_standing")
    search_fields = ("=id", "image__slide__code")
    show_full_result_count = False


@admin.register(CellReview)
class CellReviewAdmin(ReadOnly):
    list_display = ("id", "cell", "reviewer", "label", "is_standing", "created_at")
    list_select_related = ("cell__image", "reviewer")
    list_filter = ("label", "is_standing")
    search_fields = ("=id", "cell__image__slide__code")
    show_full_result_count = False


@admin.register(Report)
class ReportAdmin(ReadOnly):
    list_display = ("slide", "number", "who", "signed_at")
    list_select_related = ("slide",)
    search_fields = ("slide__code", "who")
    show_full_result_count = False


@admin.register(Event)
class EventAdmin(ReadOnly):
    list_display = ("at", "who", "action", "kind", "name", "laboratory")
    list_select_related = ("laboratory",)
    list_filter = ("action", "kind")
    search_fields = ("who", "name", "=subject")
    show_full_result_count = False


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnly):
    """Another one is made active on the model's page, where the reason is kept."""

    list_display = ("name", "is_active", "path", "created_at")
