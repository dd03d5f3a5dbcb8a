import numpy as np
import pytest

from ml.rejection import LOST, REASONS, UNKNOWN, Rejector, fit

CHANCE = np.random.default_rng(0)


def features(count, *middle, spread=1.0):
    return CHANCE.normal(middle, spread, (count, len(middle))).astype(np.float32)


@pytest.fixture(scope="module")
def rejector():
    """Cells around 0, white cells beside them, blurred ones on the other side."""
    others = {"other": features(300, 7, 0, 0), "blurred": features(300, 0, -7, 0)}
    return fit(features(900, 0, 0, 0), others, [features(500, 0, 0, 0), features(500, 1, 0, 0)])


def test_of_each_group_of_held_out_cells_next_to_none_is_rejected():
    groups = [features(1000, 0, 0, 0), features(1000, 0, 0, 4)]
    others = {"other": features(300, 7, 0, 0), "drawn": features(300, 9, 9, 9)}
    found = fit(features(900, 0, 0, 0), others, groups)
    for group in groups:
        assert sum(map(bool, found.reasons(group))) <= 2 * LOST * 1000 + 1


def test_known_kinds_are_rejected_with_their_reason(rejector):
    assert set(rejector.reasons(features(50, 7, 0, 0, spread=0.3))) == {REASONS["other"]}
    assert set(rejector.reasons(features(50, 0, -7, 0, spread=0.3))) == {REASONS["blurred"]}


def test_what_nobody_thought_of_is_rejected_as_unknown(rejector):
    assert set(rejector.reasons(features(50, 0, 0, 40, spread=0.3))) == {UNKNOWN}


def test_cells_have_no_reason(rejector):
    reasons = rejector.reasons(features(500, 0, 0, 0))
    assert reasons.count("") >= 490


def test_each_kind_has_a_sentence():
    assert {"drawn", "blurred", "many", "part", "other"} == set(REASONS)
    assert all(sentence.endswith(".") for sentence in (*REASONS.values(), UNKNOWN))


def test_it_is_the_same_after_the_disk(rejector, tmp_path):
    rejector.save(tmp_path / "rejection.npz")
    again = Rejector.load(tmp_path / "rejection.npz")
    asked = np.concatenate([features(50, 0, 0, 0), features(50, 4, 0, 0), features(9, 0, 0, 40)])
    assert again.reasons(asked) == rejector.reasons(asked)


def test_a_seed_decides_all():
    cells, other = features(300, 0, 0), features(100, 5, 0)
    others = {"other": other, "drawn": features(100, 0, 9)}
    first, again = (fit(cells, others, [cells], seed=3) for _ in range(2))
    assert all(np.array_equal(vars(first)[name], vars(again)[name]) for name in vars(first))
