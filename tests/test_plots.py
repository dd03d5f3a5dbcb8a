import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ml.decisions import Thresholds
from ml.evaluation import evaluate
from ml.plots import plot_confusion, plot_history, plot_reliability, plot_roc, save_plots

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)
HISTORY = [
    {
        "epoch": epoch,
        "train_loss": 0.5 / epoch,
        "validation_loss": 0.6 / epoch,
        "train_accuracy": 1 - 0.2 / epoch,
        "validation_accuracy": 0.93 if epoch == 3 else 0.9,
        "learning_rate": 0.05 / epoch,
    }
    for epoch in range(1, 6)
]


def cells(size=800, spread=2.0):
    random = np.random.default_rng(0)
    truth = random.random(size) < 0.5
    logit = np.where(truth, 3.0, -3.0) + random.normal(0, spread, size)
    return 1 / (1 + np.exp(-logit)), truth


def share_of(path, colour):
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return (np.abs(pixels - colour).max(axis=-1) <= 12).mean()


def drawn(path):
    with Image.open(path) as image:
        image.load()
        assert min(image.size) >= 600
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        return len(np.unique(pixels, axis=0)) > 20


def test_all_plots_of_an_evaluation_are_saved(tmp_path):
    probability, truth = cells()
    result = evaluate(probability, truth, None, Thresholds(0.3, 0.7), bootstrap=20)
    paths = save_plots(tmp_path / "new" / "plots", result, probability, truth, HISTORY)
    assert [path.name for path in paths] == [
        "confusion.png",
        "roc.png",
        "reliability.png",
        "curves.png",
    ]
    assert all(drawn(path) for path in paths)


def test_without_a_history_there_are_no_curves(tmp_path):
    probability, truth = cells()
    result = evaluate(probability, truth, None, Thresholds(0.3, 0.7), bootstrap=20)
    assert len(save_plots(tmp_path, result, probability, truth)) == 3
    assert not (tmp_path / "curves.png").exists()


def test_the_same_plot_is_the_same_bytes(tmp_path):
    probability, truth = cells()
    for name in ("a.png", "b.png", "c.svg", "d.svg"):
        plot_roc(tmp_path / name, probability, truth, (0.98, 0.99))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "c.svg").read_bytes() == (tmp_path / "d.svg").read_bytes()


def svg_text(path):
    """What an SVG says; matplotlib keeps the text of each label as a comment."""
    return path.read_text()


def test_confusion_says_the_counts_and_shares(tmp_path):
    plot_confusion(tmp_path / "c.svg", {"tp": 2689, "fn": 112, "fp": 74, "tn": 2636})
    text = svg_text(tmp_path / "c.svg")
    for words in ("2,689", "112", "74", "2,636", "96.0%", "97.3%", "5,511 cells"):
        assert words in text


def test_confusion_of_one_class_is_drawn(tmp_path):
    plot_confusion(tmp_path / "c.png", {"tp": 0, "fn": 0, "fp": 3, "tn": 97})
    assert drawn(tmp_path / "c.png")


def test_roc_says_auc_interval_and_threshold(tmp_path):
    probability, truth = cells()
    plot_roc(tmp_path / "r.svg", probability, truth, (0.9712, 0.9834))
    text = svg_text(tmp_path / "r.svg")
    auc = evaluate(probability, truth, None, Thresholds(0.5, 0.5), 1)["auc"]
    for words in (f"AUC {auc:.4f}", "0.9712 to 0.9834", "threshold 0.5", "Sensitivity"):
        assert words in text


def test_roc_enlarges_the_corner_only_where_the_curve_reaches_it(tmp_path):
    for name, spread in (("good", 2.0), ("poor", 9.0)):
        plot_roc(tmp_path / f"{name}.png", *cells(spread=spread))
    # Enlarged, the operating point is marked a second time.
    good, poor = (share_of(tmp_path / f"{name}.png", ORANGE) for name in ("good", "poor"))
    assert good > 1.25 * poor > 0


@pytest.mark.parametrize("truth", [0, 1])
def test_roc_of_one_class_says_so(tmp_path, truth):
    plot_roc(tmp_path / "r.svg", [0.1, 0.9], [truth, truth])
    assert "Not defined" in svg_text(tmp_path / "r.svg")


def test_reliability_says_the_calibration_error_of_the_evaluation(tmp_path):
    probability, truth = cells()
    plot_reliability(tmp_path / "r.svg", probability, truth)
    plot_reliability(tmp_path / "r.png", probability, truth)
    error = evaluate(probability, truth, None, Thresholds(0.5, 0.5), 1)["ece"]
    assert f"ECE {error:.4f}" in svg_text(tmp_path / "r.svg")
    assert share_of(tmp_path / "r.png", BLUE) > 0.01


def test_reliability_of_one_cell_is_drawn(tmp_path):
    plot_reliability(tmp_path / "r.png", [1.0], [1])
    assert drawn(tmp_path / "r.png")


def test_curves_mark_the_best_epoch_by_validation_accuracy(tmp_path):
    plot_history(tmp_path / "h.svg", HISTORY)
    assert "best: 93.00%, epoch 3" in svg_text(tmp_path / "h.svg")


def test_curves_take_rows_as_csv_gives_them_and_leave_gaps(tmp_path):
    rows = [{name: str(value) for name, value in row.items()} for row in HISTORY[:1]]
    rows[0]["validation_loss"] = ""
    del rows[0]["learning_rate"]
    plot_history(tmp_path / "h.png", rows)
    assert drawn(tmp_path / "h.png")
    assert share_of(tmp_path / "h.png", ORANGE) > 0


def test_drawing_needs_no_display_and_leaves_no_global_figure():
    code = (
        "import sys, pathlib, tempfile; from ml.plots import plot_confusion;"
        "plot_confusion(pathlib.Path(tempfile.mkdtemp()) / 'c.png', dict(tp=1, fn=1, fp=1, tn=1));"
        "sys.exit('matplotlib.pyplot' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
