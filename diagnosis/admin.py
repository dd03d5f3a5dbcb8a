"""The operator's view: what there is and how it goes. Results are read here, never written."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from . import registry
from .models import Invitation, Laboratory, Membership, ModelVersion, Prediction, Slide, SmearImage


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
        "id", "slide", "state", "decision", "probability", "model", "attempts", "error",
        "queued_at", "finished_at",
    )  # fmt: skip
    list_select_related = ("slide", "model")
    list_filter = ("state", "decision", "model")
    search_fields = ("=id", "slide__code", "error")
    show_full_result_count = False


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnly):
    list_display = ("name", "is_active", "path", "created_at")
    actions = ("make_active",)

    def has_view_or_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj)

    @admin.action(description="Make active: new images are read by it", permissions=["activate"])
    def make_active(self, request: HttpRequest, versions: QuerySet[ModelVersion]) -> None:
        if len(versions) != 1:
            self.message_user(request, "Choose one model.", messages.ERROR)
            return
        registry.activate(versions[0])
        self.message_user(request, f"{versions[0]} now reads new images.")

    def has_activate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("diagnosis.change_modelversion")
