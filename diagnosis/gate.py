"""A newly trained model takes the place of the active one only if it is not worse."""

from collections.abc import Sequence
from pathlib import Path

from ml.artifact import ArtifactError, read_manifest
from ml.comparison import MARGINS, Comparison, compare_models
from ml.datasets import DataError, Example

from . import registry
from .models import ModelVersion

TRAINED = "Trained with --activate."
BY_HAND = "An administrator of the site can make it active all the same, on the model's page."


def admit(output: Path, validation: Sequence[Example]) -> str:
    """Register the artifact, and activate it unless it is worse; what became of it, in words."""
    active = ModelVersion.objects.filter(is_active=True).first()
    version = registry.register(output)
    if active is None:
        registry.activate(version, TRAINED)
        return f"{version.name} is now the active model of this installation."
    try:
        found = _compare(output, active, validation)
    except (ArtifactError, DataError) as error:
        return (
            f"{version.name} stays inactive: it cannot be compared with the active model "
            f"{active.name}. {error} {BY_HAND}"
        )
    if found.is_worse:
        return (
            f"{version.name} stays inactive: it is worse than the active model {active.name} "
            f"{found} {_rule()} {BY_HAND}"
        )
    registry.activate(version, TRAINED)
    return (
        f"{version.name} is now the active model of this installation: it is not worse than "
        f"{active.name} {found}"
    )


def _compare(output: Path, active: ModelVersion, validation: Sequence[Example]) -> Comparison:
    folder = registry.folder_of(active)
    if read_manifest(folder).fingerprint != active.fingerprint:
        raise ArtifactError(f"Another model lies where {active.name} was.")
    return compare_models(output, folder, validation)


def _rule() -> str:
    return (
        f"Not worse means: no interval wholly below 0, and not more than {MARGINS['auc']} of AUC "
        f"or {MARGINS['accuracy']} of accuracy lost."
    )
