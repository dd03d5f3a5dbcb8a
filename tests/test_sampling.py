from collections import Counter
from pathlib import Path

import numpy as np
from torch import Generator

from ml.configuration import LIMITS
from ml.datasets import Example, Pixels
from ml.sampling import MOST_REPEATS, Deck


def cells(own, **others):
    """`own` cells of the data; of each other laboratory (uninfected, parasitized)."""
    examples = [Example(Path("own"), 0, "C1") for _ in range(own)]
    for name, counts in others.items():
        for label, count in enumerate(counts):
            examples += [Example(Path(name), label, None, origin=name) for _ in range(count)]
    labels = np.array([example.label for example in examples])
    return Pixels(np.empty((len(examples), 0)), labels, tuple(examples))


def dealt(deck, seed=0):
    return deck.shuffled(Generator().manual_seed(seed)).tolist()


def test_own_cells_come_once_and_only_they_where_there_are_no_others():
    assert sorted(dealt(Deck(cells(20), 10))) == list(range(20))


def test_each_other_laboratory_gives_its_share_with_both_classes_alike():
    data = cells(5, first=(100, 40), second=(300, 0))
    deck = Deck(data, 60)
    order = dealt(deck)
    assert len(order) == len(deck) == 5 + 60 + 30
    kinds = Counter((data.examples[i].origin, data.examples[i].label) for i in order)
    assert kinds == {("", 0): 5, ("first", 0): 30, ("first", 1): 30, ("second", 0): 30}
    assert max(Counter(order).values()) == 1


def test_the_least_share_that_can_be_asked_for_takes_one_cell_of_each_class():
    least, _ = LIMITS["others"]
    assert len(dealt(Deck(cells(5, other=(100, 3)), least))) == 5 + 2


def test_a_rare_class_comes_again_but_not_without_end():
    data = cells(5, other=(100, 3))
    counts = Counter(dealt(Deck(data, 60)))
    rare = [counts[index] for index in range(105, 108)]
    assert rare == [MOST_REPEATS] * 3
    assert Counter(dealt(Deck(data, 16)))[105] in (2, 3)


def test_another_epoch_takes_other_cells_and_a_generator_decides_which():
    deck = Deck(cells(5, other=(1000, 0)), 60)
    assert dealt(deck, 1) == dealt(deck, 1)
    assert set(dealt(deck, 1)) != set(dealt(deck, 2))
