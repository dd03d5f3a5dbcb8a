import subprocess
import sys

import pytest

from ml.decisions import Thresholds, decide, label

BAND = Thresholds(low=0.2, high=0.9)


@pytest.mark.parametrize(
    ("probability", "decision"),
    [
        (0.0, "uninfected"),
        (0.1999, "uninfected"),
        (0.2, "uncertain"),
        (0.5, "uncertain"),
        (0.8999, "uncertain"),
        (0.9, "parasitized"),
        (1.0, "parasitized"),
        (float("nan"), "uncertain"),
    ],
)
def test_decision_at_the_edges_of_the_band(probability, decision):
    assert decide(probability, BAND) == decision


def test_an_empty_band_decides_as_the_label_does():
    for probability in (0.0, 0.49, 0.5, 1.0):
        assert decide(probability, Thresholds(0.5, 0.5)) == label(probability)


@pytest.mark.parametrize(
    ("low", "high"), [(0.6, 0.9), (0.1, 0.4), (-0.1, 0.9), (0.1, 1.1), (float("nan"), 0.9)]
)
def test_a_band_without_one_half_is_refused(low, high):
    with pytest.raises(ValueError, match="low <= 0.5 <= high"):
        Thresholds(low, high)


def test_imports_nothing_heavy():
    code = (
        "import sys, ml.decisions;sys.exit(not {'numpy', 'scipy', 'torch'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
