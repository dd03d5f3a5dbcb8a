"""A trained model on disk: its manifest, its files, and the proof that they are unaltered."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ml.decisions import Thresholds
from ml.durable import replace, sync

FORMAT = 2
READABLE = (1, 2)
MANIFEST = "manifest.json"
ONNX = "model.onnx"
WEIGHTS = "model.safetensors"
PROBE = "probe.npz"
REJECTION = "rejection.npz"
METRICS = "metrics.json"
HISTORY = "history.csv"
CARD = "card.md"
BACKGROUND = "background.json"
"""What the model says of healthy blood (ml.background). A laboratory may measure its own, so it is
none of the files that the manifest describes."""
TRAINED_ON = ("training", "earlier")
"""The parts of a manifest's data whose slides the weights know."""
FEW = 5
MODELS = Path(__file__).parent / "models"


class ArtifactError(ValueError):
    """A model that is missing, altered or of another format; the text says which."""


@dataclass(frozen=True)
class Manifest:
    name: str
    architecture: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    temperature: float
    thresholds: Thresholds
    created: str
    """ISO 8601, UTC."""
    data: dict[str, Any]
    """Of the training: fingerprint, numbers of images and slides, the validation slides."""
    training: dict[str, Any]
    """The training configuration."""
    cell_colour: tuple[int, ...] | None = None
    """What a cell's body is brought to before the network sees it (since format 2)."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every other file of the artifact."""
    format: int = FORMAT
    fingerprint: str = ""
    """SHA-256 of the manifest as read from disk."""

    def slides(self, *parts: str) -> set[str]:
        """Of these parts of its data, where they are known: "training", "validation", "test", and
        "earlier", what the models were trained on whose weights it began with."""
        return {name for part in parts for name in self.data.get(f"{part}_slides") or ()}

    def as_dict(self) -> dict[str, Any]:
        """What is written to the disk."""
        values = asdict(self)
        del values["fingerprint"]
        return values


def some(slides: Iterable[str]) -> str:
    """The first few, for a sentence."""
    names = sorted(slides)
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


def read_manifest(path: Path) -> Manifest:
    """The manifest of the artifact in a folder, without touching its weights."""
    try:
        content = (path / MANIFEST).read_bytes()
        values = json.loads(content)
    except FileNotFoundError:
        raise ArtifactError(f"There is no trained model in {path}: it has no {MANIFEST}.") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"The manifest in {path} cannot be read: {error}.") from None
    return _manifest(path, values, sha256(content).hexdigest())


def _manifest(path: Path, values: Any, fingerprint: str) -> Manifest:
    version = values.get("format") if isinstance(values, dict) else None
    if version not in READABLE:
        raise ArtifactError(
            f"The model in {path} has format {version}; "
            f"this installation reads formats up to {FORMAT}."
        )
    colour = values.get("cell_colour")
    try:
        return Manifest(
            **values
            | {
                "thresholds": Thresholds(**values["thresholds"]),
                "classes": tuple(values["classes"]),
                "mean": tuple(values["mean"]),
                "std": tuple(values["std"]),
                "cell_colour": colour and tuple(colour),
                "fingerprint": fingerprint,
            }
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"The manifest in {path} is incomplete: {error}.") from None


def verify(path: Path, manifest: Manifest, names: Iterable[str] | None = None) -> None:
    """Compare files (all, or those named) with the manifest; ArtifactError where one differs."""
    for name in manifest.files if names is None else names:
        if name not in manifest.files:
            raise ArtifactError(f"The model in {path} was made without {name}.")
        try:
            found = digest(path / name)
        except OSError:
            raise ArtifactError(f"The model in {path} lacks its file {name}.") from None
        if found != manifest.files[name]:
            raise ArtifactError(
                f"{path / name} is not the file its manifest describes: "
                "it was altered or not copied whole."
            )


def digest(path: Path) -> str:
    hashed = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when all went well, and vanishes otherwise."""
    if path.exists() and any(path.iterdir()):
        raise ArtifactError(f"{path} is not empty: choose another --output.")
    temporary = path.with_name(f".{path.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        _readable(temporary)
        if path.exists():
            path.rmdir()
        for file in (*temporary.iterdir(), temporary):
            sync(file)
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _readable(folder: Path) -> None:
    """The worker may run as another user than the trainer."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest with the hashes of what the folder holds; the last step of an artifact."""
    files = {
        str(file.relative_to(folder)): digest(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in (MANIFEST, BACKGROUND)
    }
    values = manifest.as_dict() | {"files": files}
    write_json(folder / MANIFEST, values)


def write_json(path: Path, values: Any) -> None:
    """OSError where it cannot be written; then the old file stays."""
    replace(path, f"{json.dumps(values, indent=2)}\n".encode())


def read_metrics(path: Path) -> dict[str, Any]:
    """The figures measured when the model was made; empty where there are none."""
    return _read_json(path / METRICS)


def read_background(path: Path) -> dict[str, Any]:
    """For ml.background.Background.from_dict; empty where none was measured."""
    return _read_json(path / BACKGROUND)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def shipped_model() -> Path:
    """The folder of the model that comes with the project."""
    found = sorted(path.parent for path in MODELS.glob(f"*/{MANIFEST}"))
    if not found:
        raise ArtifactError(f"No model is shipped in {MODELS}: train one with train_model.")
    return found[-1]


def find_model(name: str | None) -> Path:
    """The folder of a model by its folder or its name; without either, the shipped one."""
    if name is None:
        return shipped_model()
    for path in (Path(name), MODELS / name):
        if (path / MANIFEST).is_file():
            return path
    raise ArtifactError(f"There is no trained model called {name}, and none in a folder {name}.")
