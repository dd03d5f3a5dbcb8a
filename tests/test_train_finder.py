"""The finder's training: what windows ask for, and the command from folder to artifact."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command

from ml.drawing import draw_field
from ml.fields import Finder
from ml.finder_training import (
    IGNORED,
    STRIDE,
    WINDOW,
    FinderConfig,
    _corner,
    _drawn,
    one_cycle,
    read_fields,
    targets,
    window,
)


@pytest.fixture
def fields(tmp_path):
    """Three small drawn fields in a grid, whose boxes are the grid's squares."""
    folder = tmp_path / "fields"
    (folder / "images").mkdir(parents=True)
    annotations = []
    for number in range(3):
        image = draw_field(number, cells=12, parasitized=1, size=(400, 300))
        image.save(folder / "images" / f"F{number}.png")
        cells = [
            {"type": "red blood cell", "box": [100 * x + 12, 100 * y + 12, 76, 76]}
            for y in range(3)
            for x in range(4)
        ]
        cells.append({"type": "ring", "box": [13, 13, 76, 76]})  # boxed twice
        annotations.append({"image": f"F{number}.png", "cells": cells})
    (folder / "annotations.json").write_text(json.dumps(annotations))
    return folder


def test_a_cell_boxed_twice_is_one(fields):
    field = read_fields(fields)[0]
    assert len(field.boxes) == 12
    assert field.parasitized.sum() == 1
    assert field.side == 76


def shows(field, corner, size, which):
    middle = (field.boxes[which, :2] + field.boxes[which, 2:]) / 2 - corner
    return bool(((middle >= 0) & (middle < size)).all())


def test_parasitized_cells_are_shown_as_often_as_all_others(fields):
    """Of 24 healthy fields and one with a parasitized cell, in a window that shows 1 of 6 cells."""
    infected, *_ = read_fields(fields)
    healthy = replace(infected, parasitized=np.zeros(12, bool))
    random = np.random.default_rng(1)
    drawn = [_drawn([healthy] * 24 + [infected], random) for _ in range(400)]
    assert 160 < sum(one is infected for one in drawn) < 260
    size, which = 120.0, int(infected.parasitized.argmax())
    for field, least, most in ((infected, 200, 320), (healthy, 1, 120)):
        corners = [_corner(field, size, random) for _ in range(400)]
        assert least < sum(shows(field, corner, size, which) for corner in corners) < most
        assert all(0 <= x <= 400 - size and 0 <= y <= 300 - size for x, y in corners)


def test_a_window_is_asked_for_the_cells_that_are_in_it(fields):
    batch, target, weight = window(read_fields(fields)[0], np.random.default_rng(0))
    places = WINDOW // STRIDE
    assert batch.shape == (3, WINDOW, WINDOW)
    assert target.shape == (7, places, places)
    assert weight.shape == (2, places, places)
    assert (target[0] == 1).sum() >= 1
    assert not target[1:3].any()


def test_targets_are_peaks_with_their_sides():
    boxes = np.array([[40, 40, 72, 72], [WINDOW - 4, 0, WINDOW + 28, 32], [100, 100, 132, 132]])
    inside = np.zeros((WINDOW // STRIDE,) * 2, bool)
    target, weight = targets(boxes.astype(float), np.array([0, 0, IGNORED]), inside)
    y, x = np.argwhere(target[0] == 1)[0]
    assert (target[0] == 1).sum() == 1  # of the second too little is seen; the third is ignored
    middle = (np.array([x, y]) + 0.5) * STRIDE
    sides = target[3:, y, x] * 32
    assert sides == pytest.approx([*(middle - 40), *(72 - middle)])
    assert weight[0, y, x] == 1
    assert weight[0, 29, 29] == 0


def test_the_command_writes_a_finder_that_loads(fields, tmp_path, capsys):
    options = ["--fields", fields, "--output", tmp_path / "cells-0", "--blocks", "3"]
    options += ["--validation-blocks", "2", "--test-blocks", "3", "--steps", "2"]
    call_command("train_finder", *options)
    told = capsys.readouterr().out
    assert "Training on 1 fields" in told
    assert "test, fields: fields 1" in told
    assert Finder.load(tmp_path / "cells-0", threads=1).name == "cells-0"


@pytest.fixture
def no_training(monkeypatch):
    def fail(*_):
        pytest.fail("it is trained")

    monkeypatch.setattr("ml.finder_packing.train_finder", fail)


@pytest.mark.parametrize(
    ("output", "words"),
    [("full", "full is not empty"), ("file", "cannot be written"), ("file/x", "cannot be written")],
)
def test_a_place_that_cannot_be_written_to_is_said_before_training(
    fields, tmp_path, no_training, output, words
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=words):
        call_command(
            "train_finder", "--fields", fields, "--output", tmp_path / output, "--blocks", "3",
            "--validation-blocks", "2",
        )  # fmt: skip


@pytest.mark.parametrize("steps", range(1, 32))
def test_any_number_of_steps_has_its_rates(steps):
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    schedule = one_cycle(optimizer, FinderConfig(steps=steps))
    for _ in range(steps):
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", "0"], "The steps must be from 1 to 1000000, not 0"),
        (["--seed", "-1"], "The seed must be from 0 to"),
        (["--blocks", "10"], "3 fields cannot be dealt out to 10 blocks"),
        (["--test-blocks", "1", "3"], "No block of fields is left to train on"),
    ],
)
def test_numbers_that_cannot_be_are_said(fields, tmp_path, no_training, options, words):
    with pytest.raises(CommandError, match=words):
        call_command(
            "train_finder", "--fields", fields, "--output", tmp_path / "x", "--blocks", "3",
            "--validation-blocks", "2", *options,
        )  # fmt: skip


def test_a_photograph_that_is_missing_is_named(fields, tmp_path, no_training):
    (fields / "images" / "F1.png").unlink()
    with pytest.raises(CommandError, match=r"F1\.png, which annotations\.json names: The file"):
        call_command("train_finder", "--fields", fields, "--output", tmp_path / "x", "--blocks=3",
            "--validation-blocks=2")  # fmt: skip


@pytest.mark.parametrize(
    ("blocks", "words"), [(["4"], "no block 4 of 3"), (["2"], "cannot choose and be reported on")]
)
def test_blocks_that_cannot_be_are_refused(fields, tmp_path, blocks, words):
    with pytest.raises(CommandError, match=words):
        call_command(
            "train_finder", "--fields", fields, "--output", tmp_path / "x", "--blocks", "3",
            "--validation-blocks", "2", "--test-blocks", *blocks,
        )  # fmt: skip
