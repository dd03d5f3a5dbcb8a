"""Programs beside the site start as their README says: by themselves, without its settings."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Error

from benchmarks import __main__ as all_of_them
from benchmarks import click, fields, full, shell, training
from benchmarks.cells import cells
from benchmarks.click import SEEN
from ml.drawing import draw_cell
from ml.images import read_image
from tests.servers import ROOT, clean_environment
from tests.test_browser import chromium  # noqa: F401  (a fixture)

STARTED_BY_LOCUST = "people"


def test_all_of_them_can_be_started():
    names = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))
    assert len(names) > 10
    names.remove(STARTED_BY_LOCUST)
    environment = clean_environment()
    del environment["DJANGO_SETTINGS_MODULE"]
    modules = ["tests.screenshots", *(f"benchmarks.{name}" for name in names)]
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(modules)}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_each_of_them_stands_in_the_table():
    table = (ROOT / "benchmarks/README.md").read_text()
    programs = [
        path.stem
        for path in (ROOT / "benchmarks").glob("[a-z]*.py")
        if 'if __name__ == "__main__"' in path.read_text()
    ]
    assert [name for name in programs if f"| `python -m benchmarks.{name}" not in table] == []


def test_cells_that_come_again_are_other_pictures(tmp_path):
    """The site stores and reads the same picture once."""
    for seed in range(2):
        draw_cell(seed, parasitized=False).save(tmp_path / f"{seed}.png")
    files = cells([tmp_path], 5, tmp_path)
    assert len({read_image(file).tobytes() for file in files}) == 5


def test_an_answer_that_does_not_come_is_not_awaited_for_ever(chromium):  # noqa: F811
    page = chromium.new_page()
    page.set_content('<ul id="cells"><li class="cell"></li></ul>')
    assert page.evaluate(SEEN, [1, 1000]) > 0
    with pytest.raises(Error, match="Cell 2 had no answer in 100 ms"):
        page.evaluate(SEEN, [2, 100])


def test_a_training_gets_no_folder_of_cells_and_what_was_found_before_a_fault_is_kept(
    tmp_path, monkeypatch
):
    commands = []

    def run(command, check):
        commands.append(command)
        if "benchmarks.training" in command:
            raise subprocess.CalledProcessError(1, command)
        Path(command[-1]).write_text('{"figures": []}')

    monkeypatch.setattr(subprocess, "run", run)
    asked = ["benchmarks", "cells", "--json", str(tmp_path / "runs/found.json"), "--only"]
    monkeypatch.setattr(sys, "argv", [*asked, "shell", "training"])
    with pytest.raises(subprocess.CalledProcessError):
        all_of_them.main()
    assert ["cells" in command for command in commands] == [True, False]
    assert json.loads((tmp_path / "runs/found.json").read_text()) == {"shell": {"figures": []}}


@pytest.mark.parametrize(
    ("program", "asked"),
    [
        (click, "--clicks 1"),
        (full, "--requests 1"),
        (full, "--predictions 1000"),
        (shell, "--files 5"),
        (shell, "--passes 0"),
        (training, "--images 256"),
    ],
)
def test_too_few_to_be_measured_are_refused_in_words(program, asked, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [program.__name__, *asked.split()])
    with pytest.raises(SystemExit):
        program.main()
    assert "at least" in capsys.readouterr().err


def test_a_training_on_a_folder_without_classes_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["training", str(tmp_path)])
    with pytest.raises(SystemExit, match="Parasitized holds fewer than 160 cells"):
        training.main()


def test_a_photograph_without_cells_is_left_out(tmp_path, monkeypatch, capsys):
    blank = tmp_path / "blank.png"
    Image.new("RGB", (640, 480), "white").save(blank)
    monkeypatch.setattr(sys, "argv", ["fields", str(blank)])
    with pytest.raises(SystemExit):
        fields.main()
    assert f"{blank} is left out: no cells were found in it." in capsys.readouterr().err


def test_classify_is_measured_in_a_var_of_its_own(tmp_path):
    files = cells([], 2, tmp_path)
    assert shell.run(files[0].parent, tmp_path / "var").first_line > 0
    assert (tmp_path / "var").exists()
