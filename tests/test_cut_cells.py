import csv
import json

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from ml.annotations import blocks, crops, overlap, read_annotations
from ml.datasets import DataError, find_others


def cell(kind, x, y, side=40):
    return {"type": kind, "box": [x, y, side, side]}


@pytest.fixture
def fields(tmp_path):
    """Four fields of 200 x 200 pixels, whose cells are told by the green of their pixels."""
    folder = tmp_path / "fields"
    (folder / "images").mkdir(parents=True)
    annotations = []
    for number in (4, 1, 3, 2):
        image = Image.new("RGB", (200, 200), (230, 220, 210))
        image.paste((200, 10 * number, 160), (50, 50, 90, 90))
        image.save(folder / "images" / f"F{number}.png")
        cells = [cell("red blood cell", 50, 50), cell("ring", 120, 120)]
        annotations.append({"image": f"F{number}.png", "cells": cells})
    (folder / "annotations.json").write_text(json.dumps(annotations))
    return folder


def cut(fields, output, *options):
    call_command("cut_cells", "--fields", fields, "--output", output, *options)


def test_cells_are_cut_into_a_folder_for_each_class(fields, tmp_path, capsys):
    cut(fields, tmp_path / "cells", "--blocks", "4", "--test-blocks", "2")
    assert "training: 3 uninfected, 3 parasitized" in capsys.readouterr().out
    examples = find_others(tmp_path / "cells" / "training")
    assert [example.label for example in examples] == [0, 0, 0, 1, 1, 1]
    tested = find_others(tmp_path / "cells" / "test")
    assert [e.path.name for e in tested] == ["F2_cell_0.png", "F2_cell_1.png"]
    with Image.open(tested[0].path) as image:
        assert image.size == (48, 48)  # a tenth on each side
        assert image.getpixel((24, 24)) == (200, 20, 160)
    rows = list(csv.reader((tmp_path / "cells" / "test" / "groups.csv").open()))
    assert rows == [["file", "field"], ["F2_cell_0.png", "F2"], ["F2_cell_1.png", "F2"]]


def test_the_margin_is_drawn_from_its_range_and_again_the_same(fields):
    read = read_annotations(fields)
    sizes = [[c.image.width for c in crops(fields, read, (0.0, 0.5))] for _ in range(2)]
    assert sizes[0] == sizes[1]
    assert len(set(sizes[0])) > 4
    assert all(40 <= size <= 80 for size in sizes[0])


@pytest.mark.parametrize("margin", [("0.3", "0.1"), ("-0.1", "0.1"), ("nan", "0.1")])
def test_a_margin_that_cannot_be_drawn_is_said(fields, tmp_path, margin):
    with pytest.raises(CommandError, match="No margin is drawn from"):
        cut(fields, tmp_path / "cells", "--margin", *margin)
    assert not (tmp_path / "cells").exists()


@pytest.mark.parametrize(
    ("added", "count"),
    [
        (cell("red blood cell", 0, 100), 2),  # its margin runs past the edge
        (cell("difficult", 10, 100), 2),
        (cell("red blood cell", 122, 118), 2),  # the parasite again
        (cell("red blood cell", 20, 120, 5), 2),  # a slip of the hand
        (cell("red blood cell", 20, 120), 3),
        (cell("gametocyte", 20, 120), 3),
    ],
)
def test_only_whole_red_cells_count_and_each_once(fields, added, count):
    (field, *_) = read_annotations(fields)
    field["cells"].append(added)
    found = list(crops(fields, [field]))
    assert len(found) == count
    assert sum(crop.parasitized for crop in found) == 1 + (added["type"] == "gametocyte")


def test_fields_in_a_row_stay_together(fields):
    parts = blocks(read_annotations(fields), 3)
    names = [[field["image"] for field in part] for part in parts]
    assert names == [["F1.png"], ["F2.png", "F3.png"], ["F4.png"]]


def test_fewer_fields_than_blocks_are_said_where_blocks_are_asked_for(fields, tmp_path):
    sentence = r"4 fields cannot be dealt out to 10 blocks: choose --blocks from 1 to 4\."
    with pytest.raises(CommandError, match=sentence):
        cut(fields, tmp_path / "cells", "--test-blocks", "10")
    assert not (tmp_path / "cells").exists()
    cut(fields, tmp_path / "cells")
    assert len(find_others(tmp_path / "cells" / "training")) == 8


def test_all_blocks_may_be_for_testing(fields, tmp_path):
    cut(fields, tmp_path / "cells", "--blocks", "2", "--test-blocks", "1", "2")
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["test"]


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_a_photograph_that_is_missing_is_named_and_nothing_is_left_behind(
    fields, tmp_path, content
):
    path = fields / "images" / "F4.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError, match=rf"{path}, which annotations\.json names: Th"):
        cut(fields, tmp_path / "cells", "--blocks", "4", "--test-blocks", "2")
    assert [path.name for path in tmp_path.iterdir()] == ["fields"]


def test_overlap_is_the_shared_part_of_both():
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (20, 20, 10, 10)) == 0


@pytest.mark.parametrize("content", ["{", "[{}]", "3", "[]"])
def test_annotations_that_are_none_are_said(fields, content):
    (fields / "annotations.json").write_text(content)
    with pytest.raises(DataError, match="cannot be read|name no field"):
        read_annotations(fields)


def test_what_cannot_be_is_said(fields, tmp_path):
    with pytest.raises(CommandError, match="no block 5 of 4"):
        cut(fields, tmp_path / "cells", "--blocks", "4", "--test-blocks", "5")
    (tmp_path / "cells" / "training").mkdir(parents=True)
    (tmp_path / "cells" / "training" / "mine.txt").touch()
    with pytest.raises(CommandError, match="is not empty"):
        cut(fields, tmp_path / "cells")
    with pytest.raises(CommandError, match="cannot be read"):
        cut(tmp_path, tmp_path / "others")
