"""How whole fields are measured: by hand, on drawn fields, and the command from end to end."""

import csv
import json
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from ml.annotations import read_annotations
from ml.drawing import draw_field
from ml.field_evaluation import (
    FieldResult,
    FieldResults,
    compare,
    evaluate_fields,
    report,
    truth_of,
)
from ml.field_reading import FieldCell, FieldReader, FieldReading
from ml.fields import Finder
from ml.plots import plot_free_response
from ml.predictor import CellPrediction, Predictor

SIZE = (300, 300)
CORNERS = [(200 * x + 26, 200 * y + 26) for y in range(3) for x in range(4)]
"""Of the cells in a drawn field of 800 x 600 pixels."""


def boxed(kind, x, y=100, side=40):
    return {"type": kind, "box": [x, y, side, side]}


def read(*cells):
    """A reading with a cell at each (x, probability), or (x, probability, decision or "edge")."""
    found = []
    for x, probability, *rest in cells:
        decision = "rejected" if "rejected" in rest else "uncertain"
        said = CellPrediction("uninfected", probability, decision, (), "m", ())
        found.append(FieldCell((x, 100, 40, 40), "edge" in rest, said))
    return FieldReading(tuple(found), None, (), "m", "f")


def compared(annotated, *cells, margin=2.0):
    return compare(read(*cells), *truth_of(annotated, SIZE), margin)


@pytest.mark.parametrize("kind", ["ring", "trophozoite", "schizont", "gametocyte"])
def test_a_parasitized_cell_is_a_hit_and_a_healthy_one_an_alarm(kind):
    result = compared([boxed(kind, 50), boxed("red blood cell", 150)], (50, 0.9), (152, 0.2))
    assert (result.match.parasitized, result.hits, result.alarms) == (1, (0.9,), (0.2,))
    assert len(result.match.pairs) == 2


def test_what_is_boxed_twice_is_asked_for_once():
    cells = [boxed("red blood cell", 50), boxed("ring", 52), boxed("trophozoite", 51)]
    result = compared(cells, (50, 0.9))
    assert (result.match.parasitized, result.hits, result.alarms) == (1, (0.9,), ())
    assert (result.match.boxed, result.match.missed) == (1, 0)


def test_difficult_cells_and_parasites_at_the_edge_are_neither_asked_for_nor_held_against_it():
    cells = [boxed("difficult", 50), boxed("ring", 0), boxed("red blood cell", 150)]
    result = compared(cells, (50, 0.9), (1, 0.8), (150, 0.1))
    assert (result.match.parasitized, result.hits, result.alarms) == (0, (), (0.1,))


@pytest.mark.parametrize("kind", ["white blood cell", "platelet"])
def test_what_is_no_red_cell_is_an_alarm_and_not_an_invented_cell(kind):
    result = compared([boxed(kind, 50), boxed("red blood cell", 150)], (50, 0.9), (150, 0.1))
    assert result.alarms == (0.9, 0.1)
    assert result.match.invented == 0


def test_a_cell_without_a_box_is_an_alarm():
    assert compared([boxed("red blood cell", 150)], (50, 0.9), (150, 0.1)).alarms == (0.9, 0.1)


@pytest.mark.parametrize("why", ["rejected", "edge"])
def test_what_does_not_count_is_no_hit(why):
    result = compared([boxed("ring", 50)], (50, 0.9, why), (150, 0.9, why))
    assert (result.match.parasitized, result.hits, result.alarms) == (1, (), ())


def test_the_curve_is_counted_by_hand():
    """Four parasitized cells in two fields, one never found."""
    nothing = compared([boxed("red blood cell", 50)]).match
    fields = (
        FieldResult(replace(nothing, parasitized=2), (0.9, 0.6), (0.7,), False),
        FieldResult(replace(nothing, parasitized=2), (0.8,), (0.6, 0.1), False),
    )
    results = FieldResults(fields, (0.5, 0.75))
    curve = results.curve
    assert curve is not None
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7, 0.6, 0.1]
    assert curve.sensitivity.tolist() == [0.25, 0.5, 0.5, 0.75, 0.75]
    assert curve.false_positives.tolist() == [0, 0, 0.5, 1, 1.5]
    assert [curve.at(number) for number in (0, 0.5, 0.99, 1, 9)] == [0.5, 0.5, 0.5, 0.75, 0.75]
    figures = results.figures()
    assert figures["sensitivity_at_false_positives"]["0.5"] == 0.5
    assert figures["at_thresholds"] == [
        {"threshold": 0.5, "sensitivity": 0.75, "false_positives": 1.0},
        {"threshold": 0.75, "sensitivity": 0.5, "false_positives": 0.0},
    ]


def test_an_alarm_surer_than_every_hit_leaves_no_sensitivity_without_it():
    nothing = compared([boxed("red blood cell", 50)]).match
    curve = FieldResults(
        (FieldResult(replace(nothing, parasitized=1), (0.8,), (0.9,), False),)
    ).curve
    assert curve is not None
    assert (curve.at(0.5), curve.at(1)) == (0, 1)


def test_healthy_fields_have_false_positives_and_no_sensitivity():
    results = FieldResults((compared([boxed("red blood cell", 50)], (50, 0.9)),))
    assert results.curve is None
    figures = results.figures()
    assert figures["at_thresholds"] == [
        {"threshold": 0.5, "sensitivity": None, "false_positives": 1.0}
    ]
    assert "sensitivity -, 1.00 false positives a field" in report("healthy", figures)


@dataclass(frozen=True)
class DrawnEye:
    """Knows drawn parasites, which are darker than anything else."""

    manifest: object

    def predict(self, images):
        dark = [float((np.asarray(image)[..., 1] < 90).mean()) for image in images]
        return [
            CellPrediction("", 0.9 if share > 0 else 0.1, "uncertain", (), "m", ())
            for share in dark
        ]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Six drawn fields of twelve cells, two of them parasitized; a white cell's box more."""
    folder = tmp_path_factory.mktemp("drawn") / "fields"
    (folder / "images").mkdir(parents=True)
    annotations = []
    for number in range(6):
        draw_field(number, 12, 2, (800, 600)).save(folder / "images" / f"F{number}.png")
        cells = [
            boxed("ring" if place < 2 else "red blood cell", *corner, 148)
            for place, corner in enumerate(CORNERS)
        ]
        annotations.append({"image": f"F{number}.png", "cells": cells})
    Image.new("RGB", (800, 600), "white").save(folder / "images" / "G.png")
    annotations.append({"image": "G.png", "cells": [boxed("white blood cell", 50)]})
    (folder / "annotations.json").write_text(json.dumps(annotations))
    return folder


def test_drawn_fields_are_read_as_they_were_drawn(drawn, trained_model):
    eye = DrawnEye(Predictor.load(trained_model, "onnxruntime").manifest)
    reader = FieldReader(eye, Finder.load(threads=2))
    results = evaluate_fields(reader, drawn, read_annotations(drawn))
    figures = results.figures()
    assert (figures["fields"], figures["parasitized"]) == (6, 12)
    assert figures["f1"] > 0.97
    assert figures["sensitivity_at_false_positives"]["0.1"] >= 11 / 12 - 1e-6
    assert results.curve is not None
    assert results.curve.at(0) >= 11 / 12


def test_the_command_writes_figures_curve_and_plot(drawn, trained_model, tmp_path, capsys):
    call_command(
        "evaluate_fields", "--fields", drawn, "--blocks", "7", "--test-blocks", "2", "5",
        "--model", trained_model, "--output", tmp_path / "out",
    )  # fmt: skip
    told = capsys.readouterr().out
    assert "fields: 2 fields, 0 of them rejected" in told
    assert "4 parasitized cells, gametocytes included" in told
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["folders"]["fields"]["fields"] == 2
    assert metrics["finder"] == Finder.load().name
    rows = list(csv.DictReader((tmp_path / "out" / "free_response.csv").open()))
    sensitivity = [float(row["sensitivity"]) for row in rows]
    assert sensitivity == sorted(sensitivity)
    assert {row["folder"] for row in rows} == {"fields"}
    with Image.open(tmp_path / "out" / "free_response.png") as image:
        assert min(image.size) > 600


def test_what_cannot_be_is_said(drawn, trained_model):
    for options, words in (
        (["--blocks", "3", "--test-blocks", "4"], "no block 4 of 3"),
        (["--fields", drawn, drawn], "have one name"),
        (["--model", "nobody"], "no trained model called nobody"),
        (["--fields", drawn.parent], "cannot be read"),
        (["--blocks", "7", "--test-blocks", "7", "--model", trained_model], "no field with a red"),
    ):
        with pytest.raises(CommandError, match=words):
            call_command("evaluate_fields", "--fields", drawn, *options)


def test_a_photograph_that_is_missing_is_named(drawn, trained_model, tmp_path):
    fields = shutil.copytree(drawn, tmp_path / "fields")
    (fields / "images" / "F0.png").unlink()
    with pytest.raises(CommandError, match=r"F0\.png, which annotations\.json names: The file"):
        call_command("evaluate_fields", "--fields", fields, "--model", trained_model)


def test_a_curve_says_its_sensitivity_at_the_limit(tmp_path):
    nothing = compared([boxed("red blood cell", 50)]).match
    curve = FieldResults(
        (FieldResult(replace(nothing, parasitized=4), (0.9, 0.8, 0.7), (0.1,), False),)
    ).curve
    assert curve is not None
    plot_free_response(tmp_path / "curve.svg", {"iml": curve})
    assert "iml: 0.750 at 0.5" in (tmp_path / "curve.svg").read_text()
    plot_free_response(tmp_path / "none.svg", {})
    assert "no cell is parasitized" in (tmp_path / "none.svg").read_text()
