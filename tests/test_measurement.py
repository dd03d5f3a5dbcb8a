"""What a model's answers say of it: its background by slide."""

from dataclasses import replace

import numpy as np
import pytest

from ml.artifact import BACKGROUND, read_background, shipped_model, write_json
from ml.background import Background
from ml.decisions import Thresholds
from ml.measurement import Measured

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
    found = measured().background(BAND)
    assert found
    assert found.false_positives.mean == pytest.approx((12 + 0.5) / (120 + 1))
    assert found.uncertain.mean == found.false_positives.mean
    assert (found.false_positives.slides, found.false_positives.cells) == (12, 120)
    assert (found.sensitivity, found.infected) == (0.75, 48)
    assert Background.from_dict(found.as_dict()) == found


def test_rejected_cells_are_not_counted_on_slides_either():
    rejected = np.tile([True, *[False] * 13], 12)
    found = measured(rejected=rejected).background(BAND)
    assert found.false_positives.mean == pytest.approx(0.5 / (108 + 1))


def test_without_slides_or_with_few_there_is_no_background():
    assert measured(9).background(BAND) is None
    assert replace(measured(), slides=None).background(BAND) is None


def test_what_is_kept_beside_a_model_is_read_back_and_no_file_of_its_manifest(tmp_path):
    assert read_background(tmp_path) == {}
    found = measured().background(BAND)
    write_json(tmp_path / BACKGROUND, found.as_dict())
    assert Background.from_dict(read_background(tmp_path)) == found
    (tmp_path / BACKGROUND).write_text("[1]")
    assert read_background(tmp_path) == {}


def test_the_shipped_model_has_a_background():
    found = Background.from_dict(read_background(shipped_model()))
    assert found.false_positives.mean < 0.01
    assert found.sensitivity > 0.9
