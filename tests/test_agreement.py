import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from ml.agreement import LEAST_CELLS, LEAST_SLIDES, Pairs, kappa, total


def counted(slides):
    found: dict[Pairs, int] = {}
    for pairs in slides:
        found[pairs] = found.get(pairs, 0) + 1
    return found


def drawn(seed, slides=40, cells=12, spread=0.0):
    """Pairs of each slide, and the labels of all cells, of people who err and a machine that does.

    With a spread, machines err on some slides more than on others.
    """
    random = np.random.default_rng(seed)
    found, machine, people = [], [], []
    for _ in range(slides):
        truth = random.random(cells) < 0.4
        wrong = min(0.5, max(0.0, 0.15 + spread * random.standard_normal()))
        said = np.where(random.random(cells) < wrong, ~truth, truth)
        heard = np.where(random.random(cells) < 0.05, ~truth, truth)
        machine.append(said)
        people.append(heard)
        numbers = [np.sum((said == s) & (heard == h)) for s in (1, 0) for h in (1, 0)]
        found.append(Pairs(*map(int, numbers)))
    return found, np.concatenate(machine), np.concatenate(people)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed):
    slides, machine, people = drawn(seed)
    found = kappa(counted(slides))
    assert found.value == pytest.approx(cohen_kappa_score(machine, people))
    assert found.low < found.value < found.high


def test_the_interval_holds_the_truth_where_slides_differ():
    """Against what many slides give; an interval of cells alone would hold it less often."""
    many, *_ = drawn(99, slides=20_000, spread=0.2)
    truth = kappa(counted(many)).value
    found = [kappa(counted(drawn(seed, slides=30, spread=0.2)[0])) for seed in range(200)]
    held = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.9 <= held <= 0.98


@pytest.mark.parametrize(
    "slides",
    [
        {},
        {Pairs(1, 1, 1, 1): LEAST_SLIDES - 1, Pairs(0, 0, 0, 0): 0},
        {Pairs(1, 0, 0, 1): LEAST_SLIDES, Pairs(): 0},
        {Pairs(10, 0, 0, 0): 20},
        {Pairs(10, 10, 0, 0): 20},
    ],
    ids=["nothing", "few slides", "few cells", "one word", "people used one word"],
)
def test_few_data_give_no_figure(slides):
    assert kappa(slides) is None


def test_all_agreed_is_one():
    assert kappa({Pairs(3, 0, 0, 3): 20}).value == 1
    assert LEAST_CELLS <= 120


def test_totals():
    assert total({Pairs(1, 2, 3, 4): 2, Pairs(1, 0, 0, 0): 3}) == Pairs(5, 4, 6, 8)
    assert total({}) == Pairs()
