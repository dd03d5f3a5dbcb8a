import os
import re
import shutil
import sqlite3
import subprocess
from io import StringIO

import pytest
import torch
from django.core.management import CommandError, call_command, load_command_class
from django.db import connection

from diagnosis import registry, reviews
from ml.artifact import read_manifest, read_metrics
from ml.training import CHECKPOINT, _Run
from tests.cells import write_cells
from tests.people import laboratory_of
from tests.readings import new_slide, read
from tests.training_run import CONFIG, flags


@pytest.fixture(autouse=True)
def one_thread():
    """As in tests.training_run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def cells(tmp_path):
    return write_cells(tmp_path / "cells", slides=4, each=2)


def train(cells, output, *options):
    """In this process; what it prints."""
    out = StringIO()
    arguments = [f"--data={cells}", f"--output={output}", *flags(CONFIG), *options]
    call_command("train_model", *arguments, stdout=out)
    return out.getvalue()


def test_ctrl_c_ends_it_in_one_sentence(training_run):
    stopped = training_run.stopped
    assert stopped.returncode == 130
    assert stopped.stderr.endswith(
        "CommandError: Stopped. Finished epochs are kept; go on with --resume.\n"
    )
    assert "Traceback" not in stopped.stderr


def test_progress_and_figures_are_printed(training_run):
    finished = training_run.finished
    assert finished.returncode == 0, finished.stderr
    lines = finished.stderr.splitlines()
    assert lines[0] == "Reading 180 images"
    assert re.fullmatch(
        r"epoch +3  loss 0\.\d{4}  validation loss \d\.\d{4}  accuracy [01]\.\d{4}  \d+ images/s",
        lines[1],
    )
    assert lines[2:] == ["Exporting to int8 and measuring"]
    out = finished.stdout
    for words in ("Validation slides", "Test slides", "32 cells of 2 slides", "95 % interval"):
        assert words in out
    accuracy = read_metrics(training_run.artifact)["test"]["accuracy"]
    assert f"{accuracy:.4f}" in out
    assert f"All figures and plots are in {training_run.artifact}." in out


def test_an_activated_model_is_the_one_of_the_installation(training_run):
    assert "model is now the active model of this installation." in training_run.finished.stdout
    fingerprint = read_manifest(training_run.artifact).fingerprint
    with sqlite3.connect(training_run.var / "db.sqlite3") as database:
        rows = database.execute(
            "SELECT name, fingerprint, path, is_active FROM diagnosis_modelversion"
        ).fetchall()
        deeds = database.execute("SELECT who, reason FROM diagnosis_activation").fetchall()
    assert rows == [("model", fingerprint, str(training_run.artifact), 1)]
    assert deeds == [("command line", "Trained with --activate.")]


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["modelversion", "activation"])
def test_a_database_that_is_not_ready_is_said_before_training(table, cells, tmp_path):
    with connection.cursor() as cursor:  # undone with the test's transaction
        cursor.execute(f"ALTER TABLE diagnosis_{table} RENAME TO elsewhere")
    with pytest.raises(CommandError, match=r"--activate needs the database.*manage\.py prepare"):
        train(cells, tmp_path / "out", "--activate")
    assert not (tmp_path / "out.training").exists()


@pytest.mark.django_db
def test_reviews_want_a_database_that_is_ready_too(cells, tmp_path):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE diagnosis_review RENAME TO elsewhere")
    with pytest.raises(CommandError, match="--include-reviews needs the database"):
        train(cells, tmp_path / "out", "--include-reviews")


@pytest.mark.django_db
def test_without_a_review_it_stops_before_training(cells, tmp_path):
    with pytest.raises(CommandError, match="train without --include-reviews"):
        train(cells, tmp_path / "out", "--include-reviews")
    assert not (tmp_path / "out.training").exists()


@pytest.fixture
def reviewed(db):
    """Four images that ada judged, two of each class, on two slides."""
    laboratory = laboratory_of("ada")
    found = []
    for label in ("uninfected", "parasitized"):
        slide = new_slide(laboratory)
        for _ in range(2):
            found.append(read(slide, "uncertain").image)
            reviews.say(found[-1], laboratory.members.get(), label)
    return found


def test_reviewed_images_are_trained_on_and_the_new_model_passes_the_gate(
    reviewed, training_run, tmp_path, capsys
):
    registry.register(training_run.artifact, activate=True)
    slides = f"--holdout-slides={training_run.artifact.parent / 'test.txt'}"
    learnt = f"--weights={training_run.artifact}"  # where it guesses, int8 and fp32 differ
    options = ["--include-reviews", "--activate", slides, learnt, "--epochs=1"]
    printed = train(training_run.cells, tmp_path / "taught", *options)
    assert "Reviewed images added to the training set: 4 of 2 slides" in capsys.readouterr().err
    data, before = (
        read_manifest(folder).data for folder in (tmp_path / "taught", training_run.artifact)
    )
    assert data["reviewed"] == {"images": 4, "slides": 2, "uninfected": 2, "parasitized": 2}
    assert data["training"]["images"] == before["training"]["images"] + 4
    assert data["fingerprint"] != before["fingerprint"]
    for part in ("training", "validation", "test"):
        assert data[f"{part}_slides"] == before[f"{part}_slides"]
    last = printed.splitlines()[-1]
    assert "not worse than model on 32 validation cells of 2 slides" in last
    assert registry.active_model().name == "taught"


def test_with_other_reviews_a_training_is_not_resumed(
    reviewed, training_run, tmp_path, monkeypatch
):
    output = tmp_path / "taught"

    def stopped(run, row):
        finish_epoch(run, row)
        raise KeyboardInterrupt

    finish_epoch = _Run.finish_epoch
    monkeypatch.setattr(_Run, "finish_epoch", stopped)
    with pytest.raises(CommandError, match="Stopped"):
        train(training_run.cells, output, "--include-reviews")
    monkeypatch.undo()
    with pytest.raises(CommandError, match=r"other settings \(the training images\)"):
        train(training_run.cells, output, "--resume")
    reviews.say(reviewed[0], reviewed[0].reviews.get().reviewer, "parasitized")
    with pytest.raises(CommandError, match=r"other settings \(the training images\)"):
        train(training_run.cells, output, "--include-reviews", "--resume")


def test_help_says_what_a_script_needs_to_know(capsys):
    with pytest.raises(SystemExit):
        load_command_class("diagnosis", "train_model").run_from_argv(
            ["manage.py", "train_model", "--help"]
        )
    said = " ".join(capsys.readouterr().out.split())
    assert "exit status is 0; scripts look for 'stays inactive'" in said
    assert "With no such image it stops before training" in said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--weights=/nowhere/first.pt"], r"The weights /nowhere/first\.pt cannot be read"),
        (["--epochs=-1"], "The epochs must be from 0 to"),
        (["--image-size=8"], "The image size must be from 32 to 1024, not 8"),
        (["--others=1"], "The others must be from 2 to 10000000, not 1"),
        (["--seed=-1"], "The seed must be from 0 to"),
        (["--holdout-slides=/nowhere/slides"], "list of slides /nowhere/slides cannot be read"),
        (["--groups=/nowhere/groups"], "grouping /nowhere/groups cannot be read"),
        (["--folds=3", "--activate"], "use one of them"),
        (["--folds=9"], "cannot be dealt out to 9 folds"),
        (["--folds=0"], "cannot be dealt out to 0 folds"),
        (["--epochs=many"], "invalid int value"),
        (["--precision=fp8"], "invalid choice"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(cells, tmp_path, options, sentence):
    with pytest.raises(CommandError, match=sentence):
        train(cells, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_missing_gpu_is_said(cells, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(CommandError, match="There is no CUDA GPU here"):
        train(cells, tmp_path / "out", "--device=cuda")


def too_much():
    torch.empty(2**50)


def too_much_for_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def too_much_for_numpy():
    raise MemoryError


@pytest.mark.parametrize("ask", [too_much, too_much_for_a_gpu, too_much_for_numpy])
def test_too_little_memory_is_said_in_a_sentence(cells, tmp_path, monkeypatch, ask):
    monkeypatch.setattr(_Run, "_step", lambda *_: ask())
    sentence = "The memory of this machine does not suffice: use a smaller --image-size or "
    with pytest.raises(CommandError, match=sentence):
        train(cells, tmp_path / "out")


def test_other_errors_are_not_taken_for_too_little_memory(cells, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(_Run, "_step", fail)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        train(cells, tmp_path / "out")


def test_folders_that_are_wrong_are_said(cells, tmp_path):
    with pytest.raises(CommandError, match="There is no folder"):
        train(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(CommandError, match="has no folder Parasitized|has no folder Uninfected"):
        train(cells / "Parasitized", tmp_path / "out")
    shutil.rmtree(cells / "Uninfected")
    (cells / "Uninfected").mkdir()
    with pytest.raises(CommandError, match="Uninfected holds no images"):
        train(cells, tmp_path / "out")


def test_a_model_that_is_there_is_not_overwritten(training_run):
    before = read_manifest(training_run.artifact).fingerprint
    with pytest.raises(CommandError, match="already holds a trained model"):
        train(training_run.cells, training_run.artifact)
    assert read_manifest(training_run.artifact).fingerprint == before


@pytest.fixture
def small_disk(tmp_path):
    """It has room for one checkpoint and not for a second beside it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount the small disk that is to be filled")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_the_training_kept(cells, small_disk):
    with pytest.raises(CommandError) as error:
        train(cells, small_disk / "out", "--epochs=2", "--batch-size=16")
    assert re.fullmatch(
        r"No space left on device: \S+out\S*\. Finished epochs are kept; go on with --resume\.",
        str(error.value),
    )
    assert {path.name for path in (small_disk / "out.training").iterdir()} == {
        *(CHECKPOINT, "history.csv")
    }
    checkpoint = small_disk / "out.training" / CHECKPOINT
    state = torch.load(checkpoint, weights_only=True, map_location="meta")
    assert state["epoch"] == 1
