import json
import os
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.drawing import draw_cell, draw_field
from ml.field_reading import NO_CELLS, FieldReader
from ml.fields import Finder
from ml.images import read_image
from ml.predictor import Predictor
from ml.reading import CHUNK, FIELDS_AHEAD, Turns, classify, is_unreadable, walk
from tests.cells import write_cells
from tests.servers import ROOT

CELL_KEYS = ["box", "label", "probability", "decision", "edge"]
KEYS = ["path", "kind", "label", "probability", "decision", "reasons", "model"]
FIELD_KEYS = [*KEYS, "cells", "cell_count", "parasitized_count"]


@pytest.fixture(scope="module")
def predictor(trained_model):
    return Predictor.load(trained_model, "onnxruntime", threads=2)


@pytest.fixture(scope="module")
def reader(predictor):
    return FieldReader(predictor, Finder.load(threads=2))


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
    (tmp_path / "round.png").symlink_to("round.png")
    found, skipped = walked(tmp_path)
    names = [os.path.relpath(path, tmp_path) for path in found]
    assert names == ["a/1.png", "again/1.png", "lost.png", "round.png"]
    assert len(skipped) == 3


def test_each_file_has_its_line_in_order(tmp_path, reader, predictor):
    folder = write_cells(tmp_path / "cells", slides=5, each=15)
    paths = walked(folder)[0]
    assert len(paths) > 2 * CHUNK
    lines = list(classify(paths, reader))
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


def test_a_bad_file_and_a_field_stand_among_the_cells(mixed, reader):
    lines = list(classify(mixed, reader))
    assert [line["path"] for line in lines] == mixed
    assert [line["kind"] for line in lines] == ["cell", None, "field", "cell", None]
    assert [is_unreadable(line) for line in lines] == [False, True, False, False, True]
    for line in (lines[1], lines[4]):
        assert list(line) == KEYS
        assert (line["label"], line["probability"], line["decision"]) == (None, None, "rejected")
    assert "cut off" in lines[1]["reasons"][0]
    assert "No such file" in lines[4]["reasons"][0]
    assert list(lines[2]) == FIELD_KEYS
    assert json.loads(json.dumps(lines, allow_nan=False)) == lines


def test_a_field_has_its_cells_and_counts(tmp_path, reader):
    """Drawn cells touch nothing, so those of the left column are cut in their middle."""
    image = draw_field(1, cells=12)
    image.crop((160, 0, image.width, image.height)).save(tmp_path / "field.png")
    (line,) = classify([str(tmp_path / "field.png")], reader)
    assert (line["label"], line["probability"], line["decision"]) == (None, None, None)
    assert line["reasons"] == []
    assert [list(cell) for cell in line["cells"]] == [CELL_KEYS] * 12
    for cell in line["cells"]:
        assert all(type(value) is int for value in cell["box"])
        assert cell["label"] == ("parasitized" if cell["probability"] >= 0.5 else "uninfected")
        assert cell["edge"] or cell["box"][0] > 0
    counted = [cell["label"] for cell in line["cells"] if not cell["edge"]]
    assert 6 <= line["cell_count"] == len(counted) <= 9
    assert line["parasitized_count"] == counted.count("parasitized")


def test_cells_of_a_field_that_are_rejected_do_not_count(tmp_path, reader):
    class Strict:
        def reasons(self, features):
            return ["", *["Too blurred."] * (len(features) - 1)]

    draw_field(1, cells=12).save(tmp_path / "field.png")
    with_features = replace(reader.predictor, engine=Featured(reader.predictor.engine))
    strict = replace(reader, predictor=replace(with_features, rejector=Strict()))
    (line,) = classify([str(tmp_path / "field.png")], strict)
    assert [cell["decision"] for cell in line["cells"]].count("rejected") == 11
    assert line["cell_count"] == 1
    assert line["parasitized_count"] == (line["cells"][0]["label"] == "parasitized")


class Featured:
    """An engine that tells features as well."""

    file = "model.onnx"

    def __init__(self, engine):
        self.engine = engine

    def __call__(self, batch):
        return self.engine(batch)._replace(features=np.zeros((len(batch), 1), np.float32))


def test_a_field_without_cells_says_what_it_saw(tmp_path, reader):
    Image.new("RGB", (1280, 960), (226, 224, 214)).save(tmp_path / "empty.png")
    (line,) = classify([str(tmp_path / "empty.png")], reader, "field")
    assert (line["decision"], line["reasons"]) == ("rejected", [NO_CELLS])
    assert (line["cells"], line["cell_count"], line["parasitized_count"]) == ([], 0, 0)


def test_boxes_are_those_of_the_upright_photograph(tmp_path, reader):
    image = draw_field(1, cells=12)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: rotate 90 degrees clockwise to see it upright
    image.save(tmp_path / "upright.png")
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright, turned = classify([str(tmp_path / f"{n}.png") for n in ("upright", "turned")], reader)
    assert upright["cells"] == turned["cells"]


def test_a_kind_that_is_given_is_believed(mixed, reader):
    as_cells = list(classify(mixed, reader, "cell"))
    assert [line["kind"] for line in as_cells] == ["cell", None, "cell", "cell", None]
    assert all(line["label"] for line in as_cells if line["kind"])
    as_fields = list(classify(mixed, reader, "field"))
    assert [line["kind"] for line in as_fields] == ["field", None, "field", "field", None]
    assert all(line["label"] is None for line in as_fields)
    assert as_fields[2]["cell_count"] > 50


@pytest.mark.timeout(120)
def test_many_fields_among_cells_keep_their_order(mixed, reader):
    """More than are decoded at once, and cells between them: nobody waits for a later one."""
    cell, _, field, *_ = mixed
    draw_field(1, cells=6).save(field)
    paths = [field] * (FIELDS_AHEAD + 3) + [cell, field, cell, cell, field]
    lines = list(classify(paths, reader))
    assert [line["path"] for line in lines] == paths
    assert all(line["cell_count"] == lines[0]["cell_count"] for line in lines if "cells" in line)


def test_whoever_has_seen_enough_does_not_wait_for_the_rest(mixed, reader):
    lines = classify([mixed[2]] * 40, reader)
    next(lines)
    assert isinstance(lines, Generator)
    lines.close()


def test_a_field_waits_until_few_files_are_before_it():
    turns, passed = Turns(), []

    def go(number):
        turns.wait(number)
        passed.append(number)

    with ThreadPoolExecutor(FIELDS_AHEAD + 2) as pool:
        far = pool.submit(go, FIELDS_AHEAD + 1)
        pool.submit(go, FIELDS_AHEAD).result(timeout=10)
        assert passed == [FIELDS_AHEAD]
        turns.reached(1)
        far.result(timeout=10)


def test_nothing_gives_no_lines(reader):
    assert list(classify([], reader)) == []


def test_lines_come_before_the_last_files_are_even_listed(mixed, reader):
    listed = count()

    def endless():
        while True:
            next(listed)
            yield mixed[0]

    lines = classify(endless(), reader)
    for _ in range(CHUNK + 1):
        next(lines)
    assert next(listed) <= 3 * CHUNK


@pytest.mark.parametrize(
    ("draw", "first", "more"),
    [("draw_cell(1, True, 40)", 300, 1400), ("draw_field(1, 6, 1, (1600, 1200))", 4, 36)],
)
def test_memory_is_flat_however_many_files_there_are(tmp_path, trained_model, draw, first, more):
    """Were fields decoded as far ahead as cells, 64 would wait, 6 MB each."""
    program = f"""
import itertools, resource, sys
from pathlib import Path
from ml.drawing import draw_cell, draw_field
from ml.field_reading import FieldReader
from ml.fields import Finder
from ml.predictor import Predictor
from ml.reading import classify
{draw}.save(sys.argv[2])
reader = FieldReader(Predictor.load(Path(sys.argv[1]), "onnxruntime"), Finder.load())
lines = classify(itertools.repeat(sys.argv[2]), reader)
def memory_after(files):
    for _ in itertools.islice(lines, files):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
first = memory_after({first})
print(memory_after({more}) - first)
lines.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(trained_model), str(tmp_path / "image.png")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 10  # megabytes
