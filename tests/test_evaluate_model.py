import errno
import json
import os
import shutil
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from ml.artifact import BACKGROUND, METRICS, read_background, read_manifest, read_metrics
from ml.background import Background
from tests.cells import write_cells
from tests.training_run import TEST_SLIDES

CONTRACT = {
    *("n", "accuracy", "auc", "sensitivity", "specificity", "f1", "mcc", "ece"),
    *("confusion", "intervals"),
}


def evaluate(*arguments):
    """(stdout, stderr)"""
    out, complaints = StringIO(), StringIO()
    call_command("evaluate_model", *map(str, arguments), stdout=out, stderr=complaints)
    return out.getvalue(), complaints.getvalue()


@pytest.fixture
def cells(tmp_path):
    return write_cells(tmp_path / "cells", slides=3, each=4)


@pytest.fixture
def options(cells, trained_model, tmp_path):
    return ["--data", cells, "--model", trained_model, "--output", tmp_path / "out"]


def test_figures_and_plots_are_printed_and_written(options, trained_model, tmp_path):
    out, complaints = evaluate(*options)
    result = json.loads((tmp_path / "out" / METRICS).read_text())
    assert result.keys() >= CONTRACT
    assert result["model"] == read_manifest(trained_model).name
    assert (result["n"], result["slides"]) == (24, 3)
    assert sum(result["confusion"].values()) == 24
    assert result["intervals"].keys() >= {"accuracy", "auc", "sensitivity", "specificity"}
    assert out.startswith(result["model"])
    assert "24 cells of 3 slides" in out
    assert f"{result['accuracy']:.4f}" in out
    assert complaints == ""
    for name in ("confusion", "roc", "reliability"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_test_slides_give_the_figures_of_the_training_again(training_run, tmp_path):
    slides = tmp_path / "slides.txt"
    slides.write_text("\n".join(TEST_SLIDES))
    evaluate(
        *("--data", training_run.cells, "--model", training_run.artifact),
        *("--slides", slides, "--output", tmp_path / "out"),
    )
    result = json.loads((tmp_path / "out" / METRICS).read_text())
    del result["model"]
    assert result == read_metrics(training_run.artifact)["test"]


def test_without_an_output_nothing_is_written(options, cells, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert "accuracy" in evaluate(*options[:-2])[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_without_slides_it_says_what_the_intervals_are_worth(options, cells, tmp_path):
    path = next(cells.rglob("*.png"))
    path.rename(path.with_name("cell.png"))
    out, complaints = evaluate(*options)
    assert "Not every file name tells its slide" in complaints
    assert "95 % interval by image" in out


def test_a_grouping_gives_the_slides(options, cells, tmp_path):
    groups = tmp_path / "groups.csv"
    groups.write_text("".join(f"{p.name},{n % 4}\n" for n, p in enumerate(cells.rglob("*.png"))))
    assert "24 cells of 4 slides" in evaluate(*options, "--groups", groups)[0]


def test_unreadable_files_are_named_and_left_out(options, cells):
    path = sorted(cells.rglob("*.png"))[3]
    path.write_bytes(path.read_bytes()[:200])
    out, complaints = evaluate(*options)
    assert "23 cells" in out
    assert f"Left out {path}: The file is cut off" in complaints


@pytest.mark.parametrize(
    ("slides", "sentence"), [("C1 C9", "not in the data: C9"), ("\n", "names no slide")]
)
def test_slides_that_are_not_there_are_said(options, tmp_path, slides, sentence):
    (tmp_path / "slides.txt").write_text(slides)
    with pytest.raises(CommandError, match=sentence):
        evaluate(*options, "--slides", tmp_path / "slides.txt")


def test_what_is_missing_is_said(options, cells, tmp_path):
    with pytest.raises(CommandError, match="no trained model called nobody"):
        evaluate(*options, "--model", "nobody")
    shutil.rmtree(cells / "Parasitized")
    with pytest.raises(CommandError, match="has no folder Parasitized"):
        evaluate(*options)
    with pytest.raises(CommandError, match="There is no folder"):
        evaluate(*options, "--data", tmp_path / "nowhere")


def test_a_place_that_cannot_be_written_to_is_said(options, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(CommandError, match="cannot be written to"):
        evaluate(*options)


def test_predictions_on_file_give_the_figures_of_the_model_that_made_them(options, tmp_path):
    evaluate(*options)
    again = tmp_path / "again"
    out, _ = evaluate("--predictions", tmp_path / "out" / "predictions.csv", "--output", again)
    first, second = (json.loads((p / METRICS).read_text()) for p in (tmp_path / "out", again))
    assert second["model"] == str(tmp_path / "out" / "predictions.csv")
    for name in ("n", "slides", "accuracy", "auc", "confusion", "per_slide"):
        assert second[name] == first[name]
    assert second["ece"] == pytest.approx(first["ece"], abs=1e-5)
    assert "24 cells of 3 slides" in out


def test_folds_on_file_are_told_apart(tmp_path):
    path = tmp_path / "predictions.csv"
    rows = [
        f"{n}.png,C{n % 4},{n % 2},{(n % 2) * 0.8 + 0.1},fold-{n % 4 // 2 + 1}" for n in range(16)
    ]
    path.write_text("\n".join(["file,slide,truth,probability,fold", *rows]))
    out, _ = evaluate("--predictions", path, "--output", tmp_path / "out")
    folds = json.loads((tmp_path / "out" / METRICS).read_text())["folds"]
    assert {name: fold["n"] for name, fold in folds.items()} == {"fold-1": 8, "fold-2": 8}
    assert [line.split()[:3] for line in out.splitlines() if line.startswith("fold-")] == [
        ["fold-1", "2", "8"],
        ["fold-2", "2", "8"],
    ]


def test_listed_cells_are_set_aside_in_a_second_report(tmp_path):
    path, suspects = tmp_path / "predictions.csv", tmp_path / "suspects.csv"
    rows = [f"{n}.png,C{n % 4},{n % 2},{1 - n % 2 if n < 3 else n % 2}" for n in range(16)]
    path.write_text("\n".join(["file,slide,truth,probability", *rows]))
    suspects.write_text("file\n0.png\n1.avif\n2.png\nnot-here.png\n")
    out, _ = evaluate(
        *("--predictions", path, "--set-aside", suspects, "--output", tmp_path / "out")
    )
    result = json.loads((tmp_path / "out" / METRICS).read_text())
    assert (result["n"], result["accuracy"]) == (16, pytest.approx(13 / 16, abs=1e-6))
    assert (result["set_aside"]["n"], result["set_aside"]["accuracy"]) == (13, 1)
    assert "Without the 3 cells that are listed" in out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,slide\na.png,C1\n", "does not hold predictions"),
        ("file,slide,truth,probability\n", "holds no predictions"),
        ("file,slide,truth,probability\na,C1,1,much\n", "does not hold predictions"),
        ("file,slide,truth,probability\na,C1,1,1\na,C1,1,1\n", "holds a more than once"),
        *(
            (f"file,slide,truth,probability\na,C1,1,1\nb,C2,{wrong}\n", rf"b has {words}\.")
            for wrong, words in (
                *(("0,97.3", r"0 and 97\.3"), ("0,-0.1", r"0 and -0\.1")),
                *(("0,nan", "0 and nan"), ("2,0.5", r"2 and 0\.5")),
            )
        ),
    ],
)
def test_a_file_that_holds_no_predictions_is_said(tmp_path, text, sentence):
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(CommandError, match=sentence):
        evaluate("--predictions", tmp_path / "predictions.csv")


@pytest.mark.parametrize(
    ("listed", "sentence"),
    [("file\nc.png\n", "None of the listed files"), ("a.png\nb.png\n", "Nothing is left")],
)
def test_a_list_that_sets_none_or_all_aside_is_said(tmp_path, listed, sentence):
    path, suspects = tmp_path / "predictions.csv", tmp_path / "suspects.csv"
    path.write_text("file,slide,truth,probability\na.png,C1,1,1\nb.png,C2,0,0\n")
    suspects.write_text(listed)
    with pytest.raises(CommandError, match=sentence):
        evaluate("--predictions", path, "--set-aside", suspects)


@pytest.fixture
def keeping(training_run, tmp_path):
    """Options that measure a model's background on slides with names that it does not know."""
    model = shutil.copytree(training_run.artifact, tmp_path / "model")
    (model / BACKGROUND).unlink(missing_ok=True)
    names = [path.name for path in training_run.cells.rglob("*.png")]
    (tmp_path / "groups.csv").write_text("".join(f"{name},own-{name[:2]}\n" for name in names))
    options = ["--data", training_run.cells, "--model", model, "--keep-background"]
    return [*options, "--groups", tmp_path / "groups.csv"]


def test_a_background_is_kept_beside_the_model(training_run, keeping, tmp_path):
    model = tmp_path / "model"
    out, _ = evaluate(*keeping)
    kept = Background.from_dict(read_background(model))
    assert f"{kept.sensitivity:.1%} of infected ones" in out
    assert kept.false_positives.slides == 10
    assert read_manifest(model).fingerprint == read_manifest(training_run.artifact).fingerprint


def test_slides_that_the_model_knows_make_no_background(keeping, tmp_path):
    """Those it was trained on, and those that chose its thresholds."""
    known = "on 8 of these, or they chose its thresholds \\(C0, C2, C3, C4, C5 and 3 more\\)"
    with pytest.raises(CommandError, match=known):
        evaluate(*keeping[:-2])
    assert read_background(tmp_path / "model") == {}


@pytest.mark.parametrize("fault", ["fsync", "replace"])
def test_a_background_that_cannot_be_written_is_said_and_the_old_one_stays(
    keeping, tmp_path, monkeypatch, fault
):
    def fail(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    path = tmp_path / "model" / BACKGROUND
    path.write_text("old")
    before = sorted(path.parent.iterdir())
    monkeypatch.setattr(os, fault, fail)
    with pytest.raises(CommandError, match=r"cannot be written to .*: Read-only file system\."):
        evaluate(*keeping)
    assert path.read_text() == "old"
    assert sorted(path.parent.iterdir()) == before


def test_few_slides_make_no_background(options, trained_model):
    with pytest.raises(CommandError, match="10 slides with healthy cells"):
        evaluate(*options[:4], "--keep-background")
    assert read_background(trained_model) == {}


def test_a_file_of_predictions_belongs_to_no_model(tmp_path):
    with pytest.raises(CommandError, match="needs --data"):
        evaluate("--predictions", tmp_path / "any.csv", "--keep-background")
