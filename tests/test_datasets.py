import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.configuration import TrainingConfig
from ml.datasets import (
    DataError,
    Example,
    find_examples,
    find_others,
    fingerprint,
    fold_slides,
    has_slides,
    hold_out,
    load,
    read_groups,
    read_slides,
    split,
)
from ml.drawing import draw_cell
from ml.images import prepared, read_image
from tests.cells import write_cells

SMALL = TrainingConfig(image_size=32)


@pytest.fixture
def cells(tmp_path):
    return write_cells(tmp_path / "cells", slides=4, each=1)


def names(examples):
    return [example.path.name for example in examples]


def test_classes_and_slides_are_found(cells):
    examples = find_examples(cells)
    assert len(examples) == 8
    assert [example.label for example in examples] == [0] * 4 + [1] * 4
    assert {example.path.parent.name for example in examples[:4]} == {"Uninfected"}
    assert {example.slide for example in examples} == {"C0", "C1", "C2", "C3"}
    assert find_examples(cells) == examples == sorted(examples, key=lambda e: (e.label, e.path))


def test_folders_may_be_nested_and_written_in_small_letters(cells):
    (cells / "Parasitized").rename(cells / "parasitized")
    (cells / "parasitized" / "more").mkdir()
    draw_cell(9, True, 32).save(cells / "parasitized" / "more" / "C9P1_cell_1.png")
    assert "C9" in {example.slide for example in find_examples(cells)}


def test_what_file_managers_leave_behind_is_ignored(cells):
    before = names(find_examples(cells))
    (cells / "Parasitized" / "Thumbs.db").write_bytes(b"x")
    (cells / "Uninfected" / ".DS_Store").write_bytes(b"x")
    (cells / "Uninfected" / ".checkpoints").mkdir()
    (cells / "Uninfected" / ".checkpoints" / "C7_cell.png").write_bytes(b"x")
    os.mkfifo(cells / "Uninfected" / "pipe.png")
    assert names(find_examples(cells)) == before


def test_a_missing_folder_is_said(tmp_path, cells):
    with pytest.raises(DataError, match="There is no folder .*/nowhere"):
        find_examples(tmp_path / "nowhere")
    (cells / "Parasitized").rename(cells / "Infected")
    with pytest.raises(DataError, match="no folder Parasitized.*Parasitized and Uninfected"):
        find_examples(cells)


def test_an_empty_class_is_said(cells):
    for file in (cells / "Uninfected").iterdir():
        file.unlink()
    (cells / "Uninfected" / "Thumbs.db").write_bytes(b"x")
    with pytest.raises(DataError, match="Uninfected holds no images"):
        find_examples(cells)


def test_names_without_a_slide_have_none(cells):
    (cells / "Parasitized" / "cell7.png").write_bytes(b"x")
    examples = find_examples(cells)
    assert not has_slides(examples)
    assert sum(example.slide is None for example in examples) == 1


def test_a_csv_gives_the_slides(tmp_path, cells):
    lines = [f"Parasitized/{path.name},left" for path in (cells / "Parasitized").iterdir()]
    lines += [f"{path.name}, right" for path in (cells / "Uninfected").iterdir()]
    groups = tmp_path / "groups.csv"
    groups.write_text("\ufefffile,slide\n" + "\n".join(lines) + "\n\nlonely\n", encoding="utf-8")
    examples = find_examples(cells, groups)
    assert has_slides(examples)
    assert [example.slide for example in examples] == ["right"] * 4 + ["left"] * 4


@pytest.fixture
def alike(tmp_path):
    """A folder for each slide, whose files have the same names."""
    for name, slide in itertools.product(("Parasitized", "Uninfected"), "AB"):
        (tmp_path / "cells" / name / slide).mkdir(parents=True)
        (tmp_path / "cells" / name / slide / "1.png").touch()
    return tmp_path / "cells"


@pytest.mark.parametrize("below", [True, False])
def test_files_of_one_name_are_told_apart_by_their_path(alike, tmp_path, below):
    groups, start = tmp_path / "groups.csv", "" if below else f"{alike}/"
    names = itertools.product(("Parasitized", "Uninfected"), "AB")
    rows = [f"{start}{name}/{slide}/1.png,{slide}{name[0].lower()}" for name, slide in names]
    groups.write_text("\n".join([*rows, "1.png,C9"]))
    found = {e.path.relative_to(alike).as_posix(): e.slide for e in find_examples(alike, groups)}
    assert found == {
        "Parasitized/A/1.png": "Ap",
        "Parasitized/B/1.png": "Bp",
        "Uninfected/A/1.png": "Au",
        "Uninfected/B/1.png": "Bu",
    }


def test_the_class_need_not_be_listed(alike, tmp_path):
    groups = tmp_path / "groups.csv"
    groups.write_text("A/1.png,A\nB/1.png,B\n" * 2)
    assert [example.slide for example in find_examples(alike, groups)] == ["A", "B", "A", "B"]


@pytest.mark.parametrize(
    ("listed", "sentence"),
    [
        ("1.png,C1", r"the slide of 1\.png: 4 files are called so\. List each file once"),
        ("A/1.png,C1\nB/1.png,C2", r"the slide of A/1\.png: 2 files are called so"),
        ("A/1.png,C1\nA/1.png,C2", r"the slide of A/1\.png: it says C1 and C2"),
    ],
)
def test_a_grouping_that_does_not_tell_files_apart_is_refused(alike, tmp_path, listed, sentence):
    groups = tmp_path / "groups.csv"
    groups.write_text(listed)
    with pytest.raises(DataError, match=sentence):
        find_examples(alike, groups)


def test_a_grouping_of_other_files_is_refused(tmp_path, cells):
    groups = tmp_path / "groups.csv"
    groups.write_text("other.png,C1\n")
    with pytest.raises(DataError, match="names none of the images"):
        find_examples(cells, groups)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", None])
def test_lists_that_cannot_be_read_are_said(tmp_path, content):
    path = tmp_path / "list"
    if content:
        path.write_bytes(content)
    for read in (read_groups, read_slides):
        with pytest.raises(DataError, match="cannot be read"):
            read(path)


def test_slides_are_listed_one_a_line(tmp_path):
    path = tmp_path / "slides.txt"
    path.write_bytes(b"\xef\xbb\xbfC1\r\nC13\r\n\r\n")
    assert read_slides(path) == {"C1", "C13"}


def test_holding_out_slides(cells):
    examples = find_examples(cells)
    rest, held = hold_out(examples, {"C1", "C3"})
    assert {example.slide for example in held} == {"C1", "C3"}
    assert {example.slide for example in rest} == {"C0", "C2"}
    assert sorted(names(rest + held)) == sorted(names(examples))
    assert hold_out(examples, set()) == (examples, [])


def test_slides_to_hold_out_that_do_not_exist_are_named(cells):
    with pytest.raises(DataError, match=r"not in the data: C77, C9\."):
        hold_out(find_examples(cells), {"C1", "C9", "C77"})


SLIDES = st.lists(
    st.lists(st.integers(0, 1), min_size=1, max_size=6), min_size=4, max_size=40
)  # the labels of the cells of each slide


def examples_of(slides, named=True):
    return [
        Example(Path(f"C{slide}_cell_{cell}.png"), label, f"C{slide}" if named else None)
        for slide, labels in enumerate(slides)
        for cell, label in enumerate(labels)
    ]


@given(SLIDES, st.floats(0, 1), st.integers(0, 9))
@settings(deadline=None)
def test_no_slide_is_on_two_sides_and_no_cell_is_lost(slides, share, seed):
    examples = examples_of(slides)
    try:
        training, validation = split(examples, share, seed)
    except DataError:
        return
    assert not {e.slide for e in training} & {e.slide for e in validation}
    assert sorted(names(training + validation)) == sorted(names(examples))
    for side in (training, validation):
        assert {e.label for e in side} == {0, 1}
    assert split(examples, share, seed) == (training, validation)


def test_infected_and_parasite_free_slides_are_drawn_apart():
    examples = examples_of([[0, 1]] * 40 + [[0, 0]] * 20)
    for seed in range(5):
        _, validation = split(examples, 0.15, seed)
        infected = {e.slide for e in validation if e.label}
        assert len(infected) == 6
        assert len({e.slide for e in validation} - infected) == 3


def test_another_seed_draws_other_slides():
    examples = examples_of([[0, 1]] * 40)
    drawn = {tuple(names(split(examples, 0.2, seed)[1])) for seed in range(5)}
    assert len(drawn) == 5


def test_one_parasite_free_slide_stays_in_training():
    training, validation = split(examples_of([[0, 1]] * 5 + [[0, 0]]), 0.2, 0)
    assert "C5" in {e.slide for e in training}
    assert len({e.slide for e in validation}) == 1


def test_without_slides_images_are_split_by_class():
    training, validation = split(examples_of([[1] * 20, [0] * 40], named=False), 0.25, 0)
    assert len(training) == 45
    assert sum(e.label for e in validation) == 5


def test_too_few_slides_are_said():
    with pytest.raises(DataError, match="too few slides"):
        split(examples_of([[0, 1]]), 0.2, 0)
    with pytest.raises(DataError, match="too few slides"):
        split(examples_of([[0]] * 9 + [[1]]), 0.2, 0)


@given(st.integers(2, 6), st.integers(6, 20), st.integers(6, 20), st.integers(0, 9))
@settings(deadline=None)
def test_folds_share_out_all_slides_evenly(folds, infected, free, seed):
    dealt = fold_slides(examples_of([[0, 1]] * infected + [[0]] * free), folds, seed)
    assert len(dealt) == folds
    assert sorted(slide for fold in dealt for slide in fold) == sorted(
        f"C{number}" for number in range(infected + free)
    )
    with_parasites = [sum(int(slide[1:]) < infected for slide in fold) for fold in dealt]
    assert max(with_parasites) - min(with_parasites) <= 1


def test_folds_that_cannot_be_are_said():
    with pytest.raises(DataError, match="slide of every image"):
        fold_slides(examples_of([[0, 1]] * 9, named=False), 3, 0)
    for folds in (1, 10):
        with pytest.raises(DataError, match=f"to {folds} folds"):
            fold_slides(examples_of([[0, 1]] * 9), folds, 0)


def test_loaded_pixels_are_those_of_the_files_in_order(cells):
    examples = find_examples(cells)
    heard = []
    pixels = load(examples, SMALL, lambda done, total: heard.append((done, total)))
    assert pixels.images.shape == (8, 32, 32, 3)
    assert pixels.labels.tolist() == [0] * 4 + [1] * 4
    assert pixels.examples == tuple(examples)
    for image, example in zip(pixels.images, examples, strict=True):
        assert (image == prepared(read_image(example.path), SMALL)).all()
    assert heard == [(done, 8) for done in range(1, 9)]


def test_any_format_of_pillow_can_be_trained_on(cells):
    for file in (cells / "Parasitized").iterdir():
        draw_cell(1, True, 40).save(file.with_suffix(".ppm"))
        file.unlink()
    pixels = load(find_examples(cells), SMALL)
    assert not pixels.unreadable
    assert (pixels.images[-1] == prepared(draw_cell(1, True, 40), SMALL)).all()


def test_a_few_unreadable_files_are_left_out_and_listed(tmp_path):
    examples = find_examples(write_cells(tmp_path, slides=5, each=2))
    broken = examples[3].path
    broken.write_bytes(broken.read_bytes()[:300])
    pixels = load(examples, SMALL)
    assert len(pixels.images) == len(pixels.labels) == len(pixels.examples) == 19
    ((path, reason),) = pixels.unreadable
    assert path == broken
    assert "cut off" in reason
    kept = [example for example in examples if example.path != broken]
    assert pixels.examples == tuple(kept)
    assert (pixels.images[3] == prepared(read_image(kept[3].path), SMALL)).all()


def test_many_unreadable_files_stop_with_an_example(cells):
    examples = find_examples(cells)
    examples[2].path.write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 8 files .*cell_0.png: The file is empty"):
        load(examples, SMALL)


def test_the_fingerprint_tells_data_apart(cells):
    examples = find_examples(cells)
    assert fingerprint(examples) == fingerprint(find_examples(cells))
    assert len(fingerprint(examples)) == 64
    assert fingerprint(examples[1:]) != fingerprint(examples)
    flipped = [Example(e.path, 1 - e.label, e.slide) for e in examples]
    assert fingerprint(flipped) != fingerprint(examples)


def test_labels_are_ready_for_torch(cells):
    assert load(find_examples(cells), SMALL).labels.dtype == np.int64


def test_cells_of_another_laboratory_may_have_one_class(cells):
    for file in (cells / "Parasitized").iterdir():
        file.unlink()
    (cells / "Parasitized").rmdir()
    found = find_others(cells)
    assert [example.label for example in found] == [0] * 4
    assert {(example.slide, example.origin) for example in found} == {(None, str(cells))}


def test_another_laboratory_without_cells_is_said(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        find_others(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no folder Uninfected"):
        find_others(tmp_path)
