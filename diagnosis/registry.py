"""The trained models this installation knows; exactly one is active and reads new images."""

from pathlib import Path

from django.conf import settings
from django.db import transaction

from ml import artifact

from .models import ModelVersion


class NoModel(LookupError):
    """No model is active; the text is a sentence for people."""


def active_model() -> ModelVersion:
    version = ModelVersion.objects.filter(is_active=True).first()
    if version is None:
        raise NoModel(
            "No model is active on this installation, so images cannot be read yet: "
            "its operator has to register one."
        )
    return version


def folder_of(version: ModelVersion) -> Path:
    return settings.BASE_DIR / version.path


def register(path: Path | str, activate: bool = False) -> ModelVersion:
    """Make an artifact known, or note that it has moved. Raises ml.artifact.ArtifactError."""
    folder = Path(path).resolve()
    manifest = artifact.read_manifest(folder)
    version, _ = ModelVersion.objects.update_or_create(
        fingerprint=manifest.fingerprint,
        defaults={
            "name": manifest.name,
            "path": _movable(folder),
            "manifest": manifest.as_dict(),
            "metrics": artifact.read_metrics(folder),
        },
    )
    return _activated(version) if activate else version


@transaction.atomic
def activate(version: ModelVersion) -> None:
    """From now on new images are read by this version; results of others stay as they are."""
    # All rows are locked first: of two that activate at once, the later sees what the first did.
    list(ModelVersion.objects.select_for_update().order_by("pk").values_list("pk"))
    ModelVersion.objects.exclude(pk=version.pk).filter(is_active=True).update(is_active=False)
    ModelVersion.objects.filter(pk=version.pk).update(is_active=True)
    version.is_active = True


def _activated(version: ModelVersion) -> ModelVersion:
    activate(version)
    return version


def ensure_shipped() -> ModelVersion:
    """Register the model that came with the code, and return the active one.

    The shipped model becomes active on a new installation and in place of one that was shipped
    earlier; a model that somebody chose stays. Raises ml.artifact.ArtifactError.
    """
    shipped = register(artifact.shipped_model())
    active = ModelVersion.objects.filter(is_active=True).first()
    if active and folder_of(active).parent != folder_of(shipped).parent:
        return active
    return _activated(shipped)


def _movable(folder: Path) -> str:
    """Relative inside the installation, which may be moved or mounted elsewhere on a worker."""
    base = Path(settings.BASE_DIR).resolve()
    return str(folder.relative_to(base) if folder.is_relative_to(base) else folder)
