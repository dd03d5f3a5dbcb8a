import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from ml.drawing import draw_cell, draw_field
from ml.images import read_image
from ml.predictor import Predictor
from ml.reading import CHUNK, FIELD_NOT_READ, classify, is_unreadable, walk
from tests.cells import write_cells
from tests.servers import ROOT

KEYS = ["path", "kind", "label", "probability", "decision", "reasons", "model"]
FIELD_KEYS = [*KEYS, "cells", "cell_count", "parasitized_count"]


@pytest.fixture(scope="module")
def predictor(trained_model):
    return Predictor.load(trained_model, "onnxruntime", threads=2)


def walked(*paths):
    skipped: list[str] = []
    return list(walk([str(path) for path in paths], skipped.append)), skipped


def test_folders_are_walked_recursively_in_order(tmp_path):
    for name in ("b/2.png", "b/10.png", "b.png", "a/z/y.png", "C/x.png", "é.png", "a b/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found, skipped = walked(tmp_path)
    assert found == [str(path) for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert len(found) == 7
    assert skipped == []


def test_what_is_named_comes_in_the_order_it_is_named(tmp_path, monkeypatch):
    for name in ("b.png", "a.png", "d/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    named = ["b.png", "missing.png", "d/", "./a.png", "b.png"]
    assert walked(*named)[0] == ["b.png", "missing.png", "d/c.png", "./a.png", "b.png"]


def test_hidden_and_system_files_are_skipped_and_told(tmp_path):
    for name in ("a.png", ".DS_Store", "Thumbs.db", "thumbs.DB", ".git/x.png", "b/desktop.ini"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found, skipped = walked(tmp_path)
    assert found == [str(tmp_path / "a.png")]
    assert {Path(path).name for path in skipped} == {
        *(".DS_Store", "Thumbs.db", "thumbs.DB", ".git", "desktop.ini")
    }


def test_a_hidden_file_or_folder_that_is_named_is_taken(tmp_path):
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.png").write_bytes(b"x")
    (tmp_path / ".b.png").write_bytes(b"x")
    wanted = [str(tmp_path / ".hidden" / "a.png"), str(tmp_path / ".b.png")]
    assert walked(tmp_path / ".hidden", tmp_path / ".b.png") == (wanted, [])


def test_pipes_and_circles_do_not_hold_the_walk_up(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "a")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
    found, skipped = walked(tmp_path)
    names = [os.path.relpath(path, tmp_path) for path in found]
    assert names == ["a/1.png", "again/1.png", "lost.png"]
    assert len(skipped) == 3


def test_each_file_has_its_line_in_order(tmp_path, predictor):
    folder = write_cells(tmp_path / "cells", slides=5, each=15)
    paths = walked(folder)[0]
    assert len(paths) > 2 * CHUNK
    lines = list(classify(paths, predictor))
    assert [line["path"] for line in lines] == paths
    said = predictor.predict([read_image(Path(path)) for path in paths])
    for line, cell in zip(lines, said, strict=True):
        assert list(line) == KEYS
        assert (line["kind"], line["label"], line["decision"]) == (
            "cell",
            cell.label,
            cell.decision,
        )
        assert line["probability"] == pytest.approx(cell.probability, abs=1e-6)
        assert line["label"] == ("parasitized" if line["probability"] >= 0.5 else "uninfected")
        assert (line["reasons"], line["model"]) == ([], predictor.manifest.name)
        assert not is_unreadable(line)
    assert json.loads(json.dumps(lines, allow_nan=False)) == lines


@pytest.fixture
def mixed(tmp_path):
    """A cell, a file that is cut off, a field, another cell, nothing at all."""
    draw_cell(1, True).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:900])
    draw_field(1).save(tmp_path / "3.jpg")
    draw_cell(2, False).save(tmp_path / "4.png")
    return [str(tmp_path / name) for name in ("1.png", "2.png", "3.jpg", "4.png", "5.png")]


def test_a_bad_file_and_a_field_stand_among_the_cells(mixed, predictor):
    lines = list(classify(mixed, predictor))
    assert [line["path"] for line in lines] == mixed
    assert [line["kind"] for line in lines] == ["cell", None, "field", "cell", None]
    assert [is_unreadable(line) for line in lines] == [False, True, False, False, True]
    for line in (lines[1], lines[4]):
        assert list(line) == KEYS
        assert (line["label"], line["probability"], line["decision"]) == (None, None, "rejected")
    assert "cut off" in lines[1]["reasons"][0]
    assert "No such file" in lines[4]["reasons"][0]
    field = lines[2]
    assert list(field) == FIELD_KEYS
    assert (field["label"], field["probability"], field["decision"]) == (None, None, "rejected")
    assert field["reasons"] == [FIELD_NOT_READ]
    assert "not read yet" in FIELD_NOT_READ
    assert (field["cells"], field["cell_count"], field["parasitized_count"]) == ([], None, None)


def test_a_kind_that_is_given_is_believed(mixed, predictor):
    as_cells = list(classify(mixed, predictor, "cell"))
    assert [line["kind"] for line in as_cells] == ["cell", None, "cell", "cell", None]
    assert all(line["label"] for line in as_cells if line["kind"])
    as_fields = list(classify(mixed, predictor, "field"))
    assert [line["kind"] for line in as_fields] == ["field", None, "field", "field", None]
    assert all(line["reasons"] == [FIELD_NOT_READ] for line in as_fields if line["kind"])


def test_nothing_gives_no_lines(predictor):
    assert list(classify([], predictor)) == []


def test_lines_come_before_the_last_files_are_even_listed(mixed, predictor):
    listed = count()

    def endless():
        while True:
            next(listed)
            yield mixed[0]

    lines = classify(endless(), predictor)
    for _ in range(CHUNK + 1):
        next(lines)
    assert next(listed) <= 3 * CHUNK


def test_memory_is_flat_however_many_files_there_are(tmp_path, trained_model):
    draw_cell(1, True, 40).save(tmp_path / "cell.png")
    program = """
import itertools, resource, sys
from pathlib import Path
from ml.predictor import Predictor
from ml.reading import classify
predictor = Predictor.load(Path(sys.argv[1]), "onnxruntime")
lines = classify(itertools.repeat(sys.argv[2]), predictor)
def memory_after(files):
    for _ in itertools.islice(lines, files):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
first = memory_after(300)
print(memory_after(1700) - first)
lines.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(trained_model), str(tmp_path / "cell.png")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 10  # megabytes
