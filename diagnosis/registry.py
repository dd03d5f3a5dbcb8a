"""The trained models this installation knows; exactly one is active and reads new images.

Which one, and with which thresholds, is the operator's choice; each choice is recorded.
"""

from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from ml import artifact
from ml.artifact import ArtifactError
from ml.decisions import Thresholds

from . import audit
from .models import COMMAND_LINE, Action, Activation, Band, Laboratory, ModelVersion

Done = TypeVar("Done", Activation, Band)
FIRST = "The first model of this installation."
SHIPPED = "It came with an update."


class NoModel(LookupError):
    """No model is active; the text is a sentence for people."""


def active_model() -> ModelVersion:
    version = ModelVersion.objects.filter(is_active=True).first()
    if version is None:
        raise NoModel(
            _(
                "No model is active on this installation, so images cannot be read yet: "
                "its operator has to register one."
            )
        )
    return version


def folder_of(version: ModelVersion) -> Path:
    return settings.BASE_DIR / version.path


def absence(version: ModelVersion) -> str:
    """Why its files cannot be shown on this host, in words; empty where they can."""
    try:
        manifest = artifact.read_manifest(folder_of(version))
    except ArtifactError as error:
        return str(error)
    if manifest.fingerprint != version.fingerprint:
        return f"Another model lies in {folder_of(version)} now."
    return ""


def register(path: Path | str, activate: bool = False, reason: str = "") -> ModelVersion:
    """Make an artifact known, or note that it has moved. Raises ml.artifact.ArtifactError."""
    folder = Path(path).resolve()
    manifest = artifact.read_manifest(folder)
    version, _is_new = ModelVersion.objects.update_or_create(
        fingerprint=manifest.fingerprint,
        defaults={
            "name": manifest.name,
            "path": _movable(folder),
            "manifest": manifest.as_dict(),
            "metrics": artifact.read_metrics(folder) | _background(folder),
        },
    )
    return _activated(version, reason) if activate else version


def _background(folder: Path) -> dict[str, Any]:
    found = artifact.read_background(folder)
    return {"background": found} if found else {}


@transaction.atomic
def activate(version: ModelVersion, reason: str = "", by: User | None = None) -> bool:
    """From now on new images are read by this version; results of others stay as they are.

    Without a person it was a command. False: it was active already, and nothing is recorded.
    """
    # All rows are locked first: of two that activate at once, the later sees what the first did.
    versions = list(ModelVersion.objects.select_for_update().order_by("pk"))
    before = next((known for known in versions if known.is_active), None)
    version.is_active = True
    if before == version:
        return False
    ModelVersion.objects.filter(is_active=True).update(is_active=False)
    ModelVersion.objects.filter(pk=version.pk).update(is_active=True)
    Activation.objects.create(version=version, replaced=before, reason=reason, **_signed(by))
    _note(version, active=(before.name if before else None, version.name))
    return True


def _activated(version: ModelVersion, reason: str) -> ModelVersion:
    activate(version, reason)
    return version


def _note(version: ModelVersion, **changes: tuple[Any, Any]) -> None:
    """It reads the images of all laboratories."""
    everybody = Laboratory.objects.values_list("pk", flat=True)
    audit.note_for(everybody, Action.CHANGED, version, **changes)


def _signed(by: User | None) -> dict[str, Any]:
    return {"by": by, "who": by.get_username() if by else COMMAND_LINE}


def former() -> ModelVersion | None:
    """Whom a roll back brings back."""
    latest = Activation.objects.select_related("replaced").first()
    return latest.replaced if latest else None


def history(version: ModelVersion | None = None) -> list[Activation | Band]:
    """What was done to the models, or to one of them, newest first."""
    found: list[Activation | Band] = [
        *_deeds(Activation, version).select_related("replaced"),
        *_deeds(Band, version),
    ]
    return sorted(found, key=lambda deed: deed.at, reverse=True)


def _deeds(kind: type[Done], version: ModelVersion | None) -> QuerySet[Done]:
    rows = kind._default_manager.select_related("version")
    return rows.filter(version=version) if version else rows


def band_of(version: ModelVersion) -> Band | None:
    """What this installation set in place of the model's own thresholds, if it did."""
    newest = version.bands.first()
    return newest if newest and newest.thresholds else None


@transaction.atomic
def set_band(
    version: ModelVersion, thresholds: Thresholds | None, reason: str, by: User | None = None
) -> bool:
    """For all readings from now on; without thresholds, the model's own again.

    False: these count already, and nothing is recorded.
    """
    ModelVersion.objects.select_for_update().get(pk=version.pk)
    current = band_of(version)
    if thresholds == (current.thresholds if current else None):
        return False
    low, high = (thresholds.low, thresholds.high) if thresholds else (None, None)
    version.bands.create(low=low, high=high, reason=reason, **_signed(by))
    former = current.thresholds if current else None
    old = (former.low, former.high) if former else (None, None)
    _note(version, low=(old[0], low), high=(old[1], high))
    return True


def ensure_shipped() -> ModelVersion:
    """Register the model that came with the code, and return the active one.

    The shipped model becomes active on a new installation and in place of one that was shipped
    earlier; a model that somebody chose stays. Raises ml.artifact.ArtifactError.
    """
    shipped = register(artifact.shipped_model())
    active = ModelVersion.objects.filter(is_active=True).first()
    if active and folder_of(active).parent != folder_of(shipped).parent:
        return active
    return _activated(shipped, SHIPPED if active else FIRST)


def _movable(folder: Path) -> str:
    """Relative inside the installation, which may be moved or mounted elsewhere on a worker."""
    base = Path(settings.BASE_DIR).resolve()
    return str(folder.relative_to(base) if folder.is_relative_to(base) else folder)
