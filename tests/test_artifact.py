import json
import os
import signal
import stat
import subprocess
import sys
from hashlib import sha256

import pytest

from ml import artifact
from ml.artifact import ArtifactError, Manifest, read_manifest, verify
from ml.decisions import Thresholds
from tests.servers import ROOT

MANIFEST = Manifest(
    name="small",
    architecture="resnet34",
    classes=("uninfected", "parasitized"),
    image_size=64,
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
    temperature=1.25,
    thresholds=Thresholds(0.3, 0.8),
    created="2026-01-01T00:00:00+00:00",
    data={"fingerprint": "0" * 64},
    training={"epochs": 3},
)


@pytest.fixture
def folder(tmp_path):
    """An artifact of small files."""
    path = tmp_path / "small"
    with artifact.writing(path) as part:
        (part / artifact.ONNX).write_bytes(b"network" * 100)
        (part / "plots").mkdir()
        (part / "plots" / "roc.png").write_bytes(b"curve")
        artifact.write_json(part / artifact.METRICS, {"test": {"accuracy": 0.9}})
        artifact.write_manifest(part, MANIFEST)
    return path


def rewrite(folder, **changes):
    path = folder / artifact.MANIFEST
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in values.items() if value != "gone"}))


def test_what_is_written_is_read(folder):
    manifest = read_manifest(folder)
    content = (folder / "manifest.json").read_bytes()
    assert manifest.fingerprint == sha256(content).hexdigest()
    assert manifest.as_dict() == MANIFEST.as_dict() | {"files": manifest.files}
    assert json.loads(content)["classes"] == list(manifest.classes)
    assert (manifest.thresholds.low, manifest.temperature) == (0.3, 1.25)
    verify(folder, manifest)


def test_the_manifest_holds_the_hash_of_every_other_file(folder):
    files = read_manifest(folder).files
    assert set(files) == {"model.onnx", "plots/roc.png", "metrics.json"}
    assert files["plots/roc.png"] == sha256(b"curve").hexdigest()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.write_bytes(b"Network" + path.read_bytes()[7:]), "altered"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "not copied whole"),
        (lambda path: path.write_bytes(b""), "altered or not copied whole"),
        (lambda path: path.unlink(), "lacks its file model.onnx"),
    ],
    ids=["altered", "truncated", "empty", "missing"],
)
def test_a_file_that_is_not_the_one_described_is_said_and_kept(folder, spoil, sentence):
    manifest = read_manifest(folder)
    spoil(folder / "model.onnx")
    before = sorted(folder.rglob("*"))
    with pytest.raises(ArtifactError, match=sentence) as error:
        verify(folder, manifest, ["model.onnx"])
    assert "model.onnx" in str(error.value)
    with pytest.raises(ArtifactError, match=sentence):
        verify(folder, manifest)
    verify(folder, manifest, ["metrics.json"])
    assert sorted(folder.rglob("*")) == before


def test_a_file_that_was_never_there_is_said(folder):
    with pytest.raises(ArtifactError, match=r"made without model\.safetensors"):
        verify(folder, read_manifest(folder), ["model.safetensors"])


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_another_format_is_said(folder, version):
    rewrite(folder, format=version)
    with pytest.raises(
        ArtifactError, match=f"format {version}; this installation reads formats up to 2"
    ):
        read_manifest(folder)


@pytest.mark.parametrize("content", ["", "{", "\x00\xff", "[]", '"text"', "1"])
def test_a_manifest_that_is_none_is_said(folder, content):
    (folder / "manifest.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ArtifactError, match="cannot be read|has format None"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": "gone"},
        {"thresholds": {"low": 0.6, "high": 0.9}},
        {"thresholds": {"low": "a", "high": 1}},
        {"classes": None},
        {"surprise": 1},
    ],
)
def test_an_incomplete_manifest_is_said(folder, changes):
    rewrite(folder, **changes)
    with pytest.raises(ArtifactError, match="manifest in .* is incomplete"):
        read_manifest(folder)


def test_a_folder_without_a_manifest_is_no_model(tmp_path):
    with pytest.raises(ArtifactError, match="no trained model in"):
        read_manifest(tmp_path)
    with pytest.raises(ArtifactError, match="no trained model in"):
        read_manifest(tmp_path / "nowhere")


def test_others_may_read_what_is_written(tmp_path):
    old = os.umask(0o077)
    try:
        with artifact.writing(tmp_path / "model") as part:
            (part / "file").write_bytes(b"x")
            (part / "more").mkdir()
            (part / "more" / "file").write_bytes(b"x")
    finally:
        os.umask(old)
    for name, mode in (("", 0o755), ("file", 0o644), ("more", 0o755), ("more/file", 0o644)):
        assert stat.S_IMODE((tmp_path / "model" / name).stat().st_mode) == mode


@pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_goes_wrong_leaves_nothing_behind(tmp_path, problem):
    def write_half():
        with artifact.writing(tmp_path / "model") as part:
            (part / "half").write_bytes(b"x")
            raise problem

    with pytest.raises(problem):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(ArtifactError, match="is not empty"), artifact.writing(tmp_path):
        pytest.fail("nothing may be written")
    assert (tmp_path / "mine").read_text() == "keep"


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "model").mkdir()
    with artifact.writing(tmp_path / "model") as part:
        (part / "file").write_bytes(b"x")
    assert (tmp_path / "model" / "file").exists()


def test_a_kill_in_between_leaves_no_model(tmp_path):
    program = """
import os, pathlib, signal, sys
from ml import artifact
with artifact.writing(pathlib.Path(sys.argv[1])) as part:
    (part / "manifest.json").write_text("{}")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "model"
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    with artifact.writing(path) as part:
        assert list(part.iterdir()) == []
        (part / "file").write_bytes(b"x")
    assert [found.name for found in tmp_path.iterdir()] == ["model"]


def test_figures_are_read_where_there_are_some(folder, tmp_path):
    assert artifact.read_metrics(folder) == {"test": {"accuracy": 0.9}}
    assert artifact.read_metrics(tmp_path) == {}
    for content in ("{", "[1]"):
        (folder / "metrics.json").write_text(content)
        assert artifact.read_metrics(folder) == {}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """In the place of ml/models."""
    path = tmp_path / "models"
    path.mkdir()
    monkeypatch.setattr(artifact, "MODELS", path)
    return path


def test_without_a_shipped_model_the_way_to_one_is_said(shelf):
    (shelf / "unfinished").mkdir()
    with pytest.raises(ArtifactError, match="No model is shipped .*train_model"):
        artifact.shipped_model()
    with pytest.raises(ArtifactError, match="No model is shipped"):
        artifact.find_model(None)


def test_a_model_is_found_by_its_folder_or_its_name(shelf, folder):
    for name in ("cells-1", "cells-2"):
        (shelf / name).mkdir()
        (shelf / name / "manifest.json").write_text("{}")
    assert artifact.find_model(str(folder)) == folder
    assert artifact.find_model("cells-1") == shelf / "cells-1"
    assert artifact.find_model(None) == artifact.shipped_model() == shelf / "cells-2"
    with pytest.raises(ArtifactError, match="no trained model called cells-3"):
        artifact.find_model("cells-3")


def test_a_web_process_may_read_manifests():
    """It must stay small: no numpy, no engine."""
    program = "import sys, ml.artifact; print({'numpy', 'torch', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
