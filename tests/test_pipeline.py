import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ml import artifact, card
from ml.artifact import ArtifactError, read_manifest, verify
from ml.configuration import TrainingError
from ml.datasets import (
    CLASSES,
    DataError,
    Example,
    find_examples,
    find_others,
    fingerprint,
)
from ml.drawing import draw_cell
from ml.images import read_image
from ml.network import WeightsError
from ml.pipeline import Listener, Source, build, divide
from ml.predictor import Predictor
from tests.cells import write_cells
from tests.training_run import CONFIG, TEST_SLIDES

FILES = {
    "model.onnx",
    "model.safetensors",
    "probe.npz",
    "rejection.npz",
    "metrics.json",
    "history.csv",
    "predictions.csv",
    "confusion.png",
    "roc.png",
    "reliability.png",
    "curves.png",
    "card.md",
}


@pytest.fixture(scope="module")
def manifest(training_run):
    return read_manifest(training_run.artifact)


@pytest.fixture(scope="module")
def metrics(training_run):
    return artifact.read_metrics(training_run.artifact)


@pytest.fixture(scope="module")
def best_epoch(training_run):
    """The first with the highest validation accuracy."""
    with (training_run.artifact / "history.csv").open(newline="") as file:
        accuracies = [float(row["validation_accuracy"]) for row in csv.DictReader(file)]
    return accuracies.index(max(accuracies)) + 1


def test_an_artifact_is_whole(training_run, manifest):
    folder = training_run.artifact
    assert {path.name for path in folder.iterdir()} == FILES | {"manifest.json"}
    assert set(manifest.files) == FILES
    verify(folder, manifest)
    for name in ("confusion.png", "roc.png", "reliability.png", "curves.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert 42e6 < (folder / "model.safetensors").stat().st_size < 44e6
    assert 21e6 < (folder / "model.onnx").stat().st_size < 23e6


def test_nothing_else_is_left_behind(training_run):
    found = {path.name for path in training_run.artifact.parent.iterdir()}
    assert found == {"cells", "lab", "test.txt", "model", "var", "bare"}


def test_the_manifest_says_what_the_model_is_and_was_made_from(manifest, training_run):
    assert (manifest.name, manifest.architecture) == ("model", "resnet34")
    assert manifest.classes == ("uninfected", "parasitized")
    assert manifest.image_size == 32
    assert manifest.training["epochs"] == 3
    assert manifest.training["augmentation"]["painted"] == CONFIG.augmentation.painted
    data = manifest.data
    for part, slides in (("training", 6), ("validation", 2), ("test", 2)):
        cells = {"uninfected": 8 * slides, "parasitized": 8 * slides}
        assert data[part] == {"images": 16 * slides, "slides": slides, **cells}
    other_lab = {"images": 20, "slides": 0, "uninfected": 20, "parasitized": 0}
    (name,) = data["others"]
    assert name.endswith("/lab")
    assert data["others"][name] == other_lab
    assert data["test_slides"] == sorted(TEST_SLIDES)
    assert not set(data["validation_slides"]) & set(TEST_SLIDES)
    assert data["split_by"] == "slide"
    kept_aside = {*data["validation_slides"], *TEST_SLIDES}
    trained_on = [e for e in find_examples(training_run.cells) if e.slide not in kept_aside]
    others = find_others(training_run.other_lab)
    assert data["fingerprint"] == fingerprint([*trained_on, *others])


def test_the_manifest_names_the_slides_of_every_part(manifest):
    data = manifest.data
    parts = [data[f"{part}_slides"] for part in ("training", "validation", "test")]
    assert sorted(name for part in parts for name in part) == [f"C{n}" for n in range(10)]
    nothing = {"images": 0, "slides": 0, "uninfected": 0, "parasitized": 0}
    assert data["reviewed"] == nothing


def test_figures_of_validation_and_test_are_kept_apart(metrics, manifest, best_epoch):
    assert set(metrics) == {"validation", "test", "best_epoch", "int8"}
    for part in ("validation", "test"):
        result = metrics[part]
        assert (result["n"], result["slides"]) == (32, 2)
        slides = [row["slide"] for row in result["per_slide"]]
        assert slides == manifest.data[f"{part}_slides"]
        assert result["accuracy"] >= 0.95
        assert result["thresholds"] == {
            "low": manifest.thresholds.low,
            "high": manifest.thresholds.high,
        }
    assert metrics["best_epoch"] == best_epoch
    assert metrics["int8"]["cells"] == 32
    assert metrics["int8"]["label_agreement"] >= 0.995


def test_history_has_every_epoch_of_all_goes(training_run):
    with (training_run.artifact / "history.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_predictions_are_of_the_test_slides(training_run, metrics):
    with (training_run.artifact / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["slide"] for row in rows} == set(TEST_SLIDES)
    assert all(row["file"].startswith(row["slide"] + "P") for row in rows)
    right = [(float(row["probability"]) >= 0.5) == (row["truth"] == "1") for row in rows]
    assert np.mean(right) == pytest.approx(metrics["test"]["accuracy"])


def test_the_card_tells_people(training_run, metrics, best_epoch):
    text = (training_run.artifact / "card.md").read_text()
    assert text.startswith("# model\n")
    for words in (
        "Research use only. Decision support, not a diagnosis: confirm by microscopy.",
        "Trained on P. falciparum",
        "| test | 2 | 16 | 16 |",
        "No slide is in two parts.",
        f"Epoch {best_epoch} was kept",
        "/lab | unknown | 0 | 20 |",
        f"{metrics['test']['accuracy']:.4f} [",
        "int8 against torch on 32 validation cells",
    ):
        assert words in text


def test_the_card_does_not_claim_what_is_not_known(training_run, manifest, tmp_path):
    shutil.copy(training_run.artifact / "metrics.json", tmp_path)
    parts = {name: manifest.data[name] | {"slides": 0} for name in ("training", "validation")}
    data = {"fingerprint": "0" * 64, "split_by": "image", **parts}
    card.write(tmp_path, replace(manifest, data=data))
    text = (tmp_path / "card.md").read_text()
    assert "one patient may be in several parts, and the figures may flatter" in text
    assert "No slide is in two parts" not in text
    assert "| training | unknown | 48 | 48 |" in text
    assert "reviewed" not in text


def test_the_card_says_what_people_labelled_at_work(training_run, manifest, tmp_path):
    shutil.copy(training_run.artifact / "metrics.json", tmp_path)
    data = manifest.data | {"reviewed": {"images": 1200, "slides": 7}}
    card.write(tmp_path, replace(manifest, data=data))
    text = (tmp_path / "card.md").read_text()
    assert "1,200 on 7 slides were labelled by people who reviewed" in text


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_it_answers_as_when_it_was_made(training_run, engine):
    with np.load(training_run.artifact / artifact.PROBE) as probe:
        assert set(probe) == {"pixels", "probability", "reference"}
        assert probe["pixels"].shape == (8, 32, 32, 3)
    Predictor.load(training_run.artifact, engine).check(training_run.artifact)


def test_it_reads_cells_it_never_saw(training_run):
    predictor = Predictor.load(training_run.artifact)
    cells = [e for e in find_examples(training_run.cells) if e.slide in TEST_SLIDES]
    said = predictor.predict([read_image(example.path) for example in cells])
    labels = [example.label for example in cells]
    assert np.mean([cell.label == CLASSES[n] for cell, n in zip(said, labels, strict=True)]) >= 0.95


def test_it_rejects_what_is_no_cell_and_still_says_what_it_reads(training_run):
    predictor = Predictor.load(training_run.artifact)
    noise = [Image.effect_noise((90, 90), 60 + n).convert("RGB") for n in range(6)]
    for said in predictor.predict(noise):
        assert said.decision == "rejected"
        assert len(said.reasons) == 1
        assert said.label == ("parasitized" if said.probability >= 0.5 else "uninfected")


def test_cells_of_another_laboratory_are_only_trained_on(tmp_path, training_run):
    cells = write_cells(tmp_path / "cells", slides=6, each=3)
    source = Source(cells, test=frozenset({"C1"}))
    more = replace(source, others=(training_run.other_lab,))
    (training, *rest), (with_more, *same) = (divide(CONFIG, each) for each in (source, more))
    assert with_more == [*training, *find_others(training_run.other_lab)]
    assert same == rest
    assert len(more.no_cells()) == 10


@pytest.mark.parametrize("content", ["model", "something", "file"])
def test_what_is_there_already_is_never_overwritten(training_run, tmp_path, content):
    output = tmp_path / "output"
    if content == "model":
        output.mkdir()
        shutil.copy(training_run.artifact / "manifest.json", output)
    elif content == "something":
        output.mkdir()
        (output / "notes").write_text("mine")
    else:
        output.write_text("mine")
    with pytest.raises(ArtifactError, match="choose another --output"):
        build(CONFIG, Source(training_run.cells), output)


def test_an_unfinished_training_is_not_begun_anew(training_run, tmp_path):
    (tmp_path / "model.training").mkdir()
    (tmp_path / "model.training" / "checkpoint.pt").write_bytes(b"hours of work")
    with pytest.raises(ArtifactError, match="unfinished training: go on with --resume"):
        build(CONFIG, Source(training_run.cells), tmp_path / "model")
    assert (tmp_path / "model.training" / "checkpoint.pt").read_bytes() == b"hours of work"


@pytest.fixture
def heard(tmp_path, monkeypatch):
    """What a build says before it trains."""

    def stop(*_, **__):
        raise TrainingError("That is all.")

    monkeypatch.setattr("ml.pipeline.train", stop)

    def listen(source, config=CONFIG):
        said: list[str] = []
        listener = Listener(on_stage=said.append, on_warning=said.append)
        with pytest.raises(TrainingError, match=r"That is all\."):
            build(config, source, tmp_path / "out", False, listener)
        return "\n".join(said)

    return listen


def test_known_slides_need_no_warning(heard, tmp_path):
    cells = write_cells(tmp_path / "cells", slides=4, each=2)
    assert heard(Source(cells)) == "Reading 16 images"


def test_slides_that_are_not_known_are_warned_of(heard, tmp_path):
    cells = write_cells(tmp_path / "cells", slides=4, each=2)
    for path in sorted(cells.rglob("*.png")):
        path.rename(path.with_name("x" + path.name))
    said = heard(Source(cells))
    assert "one patient may be on both sides" in said
    assert "--groups FILE" in said
    groups = tmp_path / "groups.csv"
    groups.write_text("".join(f"{p.name},{p.name[1:3]}\n" for p in cells.rglob("*.png")))
    assert "patient" not in heard(Source(cells, groups))


def reviewed(folder, slide, *cells):
    """Examples of one slide: new cells by number, or copies of files."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{slide}-{place}.png" for place in range(len(cells))]
    for path, cell in zip(paths, cells, strict=True):
        if isinstance(cell, int):
            draw_cell(cell, parasitized=False, size=40).save(path)
        else:
            read_image(cell).save(path)
    return tuple(Example(path, 0, slide, reviewed=True) for path in paths)


def test_reviewed_cells_are_only_trained_on(tmp_path):
    cells = write_cells(tmp_path / "cells", slides=6, each=3)
    source = Source(cells, test=frozenset({"C1"}))
    more = replace(source, reviewed=reviewed(tmp_path / "r", "reviewed:1", 900, 901, 902))
    (training, *others), (with_more, *same) = (divide(CONFIG, each) for each in (source, more))
    assert with_more == [*training, *more.reviewed]
    assert same == others


def test_reviewed_cells_are_counted_aloud(heard, tmp_path):
    cells = write_cells(tmp_path / "cells", slides=4, each=2)
    parts = (reviewed(tmp_path / "r", f"reviewed:{n}", 900 + n, 910 + n) for n in range(2))
    said = heard(Source(cells, reviewed=tuple(e for part in parts for e in part)))
    assert said.splitlines() == [
        "Reading 20 images",
        "Reviewed images added to the training set: 4 of 2 slides",
    ]


def test_a_reviewed_slide_that_shows_a_cell_held_out_is_left_out(heard, tmp_path):
    """Also where another file holds the picture."""
    cells = write_cells(tmp_path / "cells", slides=6, each=3)
    source = Source(cells, test=frozenset({"C1"}))
    training, validation, test = divide(CONFIG, source)
    folder = tmp_path / "r"
    found = heard(
        replace(
            source,
            reviewed=(
                *reviewed(folder, "of-validation", 900, validation[0].path),
                *reviewed(folder, "of-test", test[0].path, 901),
                *reviewed(folder, "of-training", training[0].path, 902),
            ),
        )
    )
    assert "Left out 4 reviewed images of 2 slides that show cells of the validation" in found
    assert "added to the training set: 2 of 1 slides" in found


def test_first_weights_that_know_what_is_set_aside_are_told_of(training_run, manifest, tmp_path):
    """Before the training, in the manifest, in the card, and to those who train it further."""
    said: list[str] = []
    known = manifest.data["training_slides"][:2]
    config = replace(CONFIG, epochs=0, weights=f"{training_run.artifact},{training_run.artifact}")
    source = Source(training_run.cells, test=frozenset([*known, *TEST_SLIDES]))
    built = build(config, source, tmp_path / "out", listener=Listener(on_warning=said.append))
    aside = {*built.data["validation_slides"], *built.data["test_slides"]}
    shared = sorted(aside & set(manifest.data["training_slides"]))
    words = f"trained on {len(shared)} of the"
    assert set(known) <= set(shared)
    assert words in said[0]
    assert ", ".join(shared) in said[0]
    assert built.data["earlier_slides"] == manifest.data["training_slides"]
    assert words in (tmp_path / "out" / "card.md").read_text()
    verify(tmp_path / "out", built)
    assert set(known) <= built.slides(*artifact.TRAINED_ON)


def test_first_weights_that_know_nothing_of_it_need_no_word(training_run, tmp_path, heard):
    assert "first weights" not in (training_run.artifact / "card.md").read_text()
    source = Source(training_run.cells, test=frozenset(TEST_SLIDES))
    for weights in (training_run.artifact, training_run.artifact / artifact.WEIGHTS):
        assert heard(source, replace(CONFIG, weights=str(weights))) == "Reading 160 images"


def test_files_left_out_are_named(heard, tmp_path):
    cells = write_cells(tmp_path / "cells", slides=6, each=8)
    broken = sorted(cells.rglob("*.png"))[5]
    broken.write_bytes(b"")
    assert f"Left out {broken}: The file is empty." in heard(Source(cells))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"device": "cuda"}, TrainingError), ({"weights": "nowhere.safetensors"}, WeightsError)],
)
@pytest.mark.parametrize("epochs", [0, 1])
def test_what_a_training_lacks_is_said_before_any_image_is_read(
    tmp_path, monkeypatch, wrong, error, epochs
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cells = write_cells(tmp_path / "cells", slides=6, each=3)
    loaded: list[int] = []
    listener = Listener(on_load=lambda done, total: loaded.append(done))
    config = replace(CONFIG, epochs=epochs, **wrong)
    with pytest.raises(error):
        build(config, Source(cells), tmp_path / "out", listener=listener)
    assert loaded == []


def test_a_class_of_which_too_little_can_be_read_is_said(tmp_path):
    cells = write_cells(tmp_path / "cells", slides=10, each=1)
    for path in sorted((cells / "Parasitized").iterdir())[2:]:
        path.unlink()
    for number in range(10):
        shutil.copy(path := sorted((cells / "Uninfected").iterdir())[0], f"{path}{number}.png")
    sorted((cells / "Parasitized").iterdir())[0].write_bytes(b"")
    with pytest.raises(DataError, match="readable images of at least two"):
        build(CONFIG, Source(cells), tmp_path / "out")
