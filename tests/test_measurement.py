"""What a model's answers say of it: its background by slide."""

from dataclasses import replace

import numpy as np
import pytest

from ml.artifact import BACKGROUND, read_background, read_manifest, shipped_model, write_json
from ml.background import Background
from ml.calibration import fit_thresholds
from ml.decisions import Thresholds
from ml.measurement import (
    PREDICTIONS,
    Measured,
    background_of,
    read_predictions,
    write_predictions,
)

BAND = Thresholds(0.2, 0.9)


def measured(slides=12, **changes):
    """On each slide ten healthy cells, one of them above the band and one in it, and four infected
    ones, one of which the band takes."""
    healthy = [0.95, 0.5, *[0.01] * 8]
    infected = [0.99, 0.99, 0.99, 0.6]
    values = {
        "files": tuple(map(str, range(14 * slides))),
        "slides": tuple(f"C{number}" for number in range(slides) for _ in range(14)),
        "truth": np.array([*[0] * 10, *[1] * 4] * slides),
        "probability": np.array([*healthy, *infected] * slides),
    }
    return Measured(**(values | changes))


def test_the_background_is_by_decision_and_slide():
    found = background_of(measured().slide_counts(BAND))
    assert found
    assert found.false_positives.mean == pytest.approx((12 + 0.5) / (120 + 1))
    assert found.uncertain.mean == found.false_positives.mean
    assert (found.false_positives.slides, found.false_positives.cells) == (12, 120)
    assert (found.sensitivity, found.infected) == (0.75, 48)
    assert Background.from_dict(found.as_dict()) == found


def test_rejected_cells_are_not_counted_on_slides_either():
    rejected = np.tile([True, *[False] * 13], 12)
    found = background_of(measured(rejected=rejected).slide_counts(BAND))
    assert found.false_positives.mean == pytest.approx(0.5 / (108 + 1))


def test_without_slides_or_with_few_there_is_no_background():
    assert background_of(measured(9).slide_counts(BAND)) is None
    for unknown in (replace(measured(), slides=None), measured(1)):
        assert background_of(unknown.slide_counts()) is None


def test_where_slides_chose_the_band_each_is_judged_by_the_choice_of_the_others():
    """One healthy cell lies above 0.5, at 0.8: the band is taken past it, by its own slide only."""
    certain = measured(12, probability=np.tile([*[0.01] * 10, *[0.97] * 4], 12))
    certain.probability[0] = 0.8
    own = fit_thresholds(certain.probability, certain.truth, accuracy=1.0)
    assert own.high > 0.8
    assert sum(slide.false_positives for slide in certain.slide_counts(own)) == 0
    assert sum(slide.false_positives for slide in certain.slide_counts()) == 1


def test_what_is_kept_beside_a_model_is_read_back_and_no_file_of_its_manifest(tmp_path):
    assert read_background(tmp_path) == {}
    found = background_of(measured().slide_counts(BAND))
    write_json(tmp_path / BACKGROUND, found.as_dict())
    assert Background.from_dict(read_background(tmp_path)) == found
    (tmp_path / BACKGROUND).write_text("[1]")
    assert read_background(tmp_path) == {}


def test_the_shipped_model_has_a_background():
    found = Background.from_dict(read_background(shipped_model()))
    assert found.false_positives.mean < 0.01
    assert found.sensitivity > 0.9


def test_the_shipped_background_is_no_better_than_what_the_test_slides_show():
    """By more than their number explains."""
    found = Background.from_dict(read_background(shipped_model()))
    tested = read_predictions(shipped_model() / PREDICTIONS)
    shown = background_of(tested.slide_counts(read_manifest(shipped_model()).thresholds))
    assert found.false_positives.mean > 0.8 * shown.false_positives.mean
    assert found.false_positives.spread > 0.7 * shown.false_positives.spread
    assert found.sensitivity < shown.sensitivity + 0.02


@pytest.mark.parametrize("difference", [{"truth": np.array([0, 1])}, {"slides": ("C1", "C2")}])
def test_folders_of_classes_and_slides_may_each_have_a_file_of_one_name(tmp_path, difference):
    same = {"slides": ("C1", "C1"), "truth": np.array([1, 1])}
    cells = Measured(("1.png", "1.png"), probability=np.array([0.2, 0.9]), **(same | difference))
    write_predictions(tmp_path / "predictions.csv", cells)
    assert read_predictions(tmp_path / "predictions.csv").files == cells.files
