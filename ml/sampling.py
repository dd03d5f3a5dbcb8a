"""Which cells an epoch takes: all of the data, and a share of each other laboratory's."""

from collections import defaultdict

import torch
from torch import Generator, Tensor

from ml.datasets import Pixels

MOST_REPEATS = 5
"""So often at most an epoch takes one cell of another laboratory."""


class Deck:
    """Deals the indices of an epoch's cells.

    The data's own cells come once each. Of every other laboratory come at most `others` cells,
    drawn anew each epoch, half of them of each class: one field photographed whole holds a
    hundred healthy cells for each parasite, and would teach that its colours mean health.
    """

    def __init__(self, cells: Pixels, others: int) -> None:
        self.own = torch.tensor([i for i, e in enumerate(cells.examples) if not e.origin])
        groups: dict[tuple[str, int], list[int]] = defaultdict(list)
        for index, example in enumerate(cells.examples):
            if example.origin:
                groups[example.origin, example.label].append(index)
        self.groups = [torch.tensor(group) for group in groups.values()]
        self.counts = [min(others // 2, MOST_REPEATS * len(group)) for group in self.groups]

    def __len__(self) -> int:
        return len(self.own) + sum(self.counts)

    def shuffled(self, generator: Generator) -> Tensor:
        drawn = [_draw(*pair, generator) for pair in zip(self.groups, self.counts, strict=True)]
        order = torch.cat([self.own, *drawn])
        return order[torch.randperm(len(order), generator=generator)]


def _draw(group: Tensor, count: int, generator: Generator) -> Tensor:
    """As evenly as may be: nothing comes again before all have come."""
    rounds = -(-count // len(group))
    order = torch.cat([torch.randperm(len(group), generator=generator) for _ in range(rounds)])
    return group[order[:count]]
