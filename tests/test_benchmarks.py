"""Programs beside the site start as their README says: by themselves, without its settings."""

import subprocess
import sys

import pytest
from playwright.sync_api import Error

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
