"""The finder's network: a small encoder and decoder that marks the middle of every cell.

Centres as peaks of a map and boxes read off there: Zhou, Wang, Krähenbühl 2019 (CenterNet); the
four distances to the box's sides: Tian et al. 2019 (FCOS).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ml.fields import KINDS

WIDTHS = (16, 32, 64, 96)
RARE = -4.6
"""First bias of the centres: one place in a hundred holds one (Lin et al. 2017)."""


class FinderNet(nn.Module):
    """float (n, 3, h, w) → centres (n, kinds, h/4, w/4), sides (n, 4, h/4, w/4).

    Height and width are multiples of 16. Centres are logits; sides are the distances from a place
    to the left, top, right and lower side of its box, in units of the usual side of a cell.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, WIDTHS[0], 2), _conv(WIDTHS[0], WIDTHS[0]))
        self.down = nn.ModuleList(
            nn.Sequential(_conv(a, b, 2), _conv(b, b), _conv(b, b))
            for a, b in zip(WIDTHS, WIDTHS[1:], strict=False)
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(b, a, 1) for a, b in zip(WIDTHS[1:], WIDTHS[2:], strict=False)
        )
        self.up = nn.ModuleList(_conv(width, width) for width in WIDTHS[1:-1])
        self.head = _conv(WIDTHS[1], 2 * WIDTHS[1])
        self.centres = nn.Conv2d(2 * WIDTHS[1], len(KINDS), 1)
        self.sides = nn.Conv2d(2 * WIDTHS[1], 4, 1)
        nn.init.constant_(self.centres.bias, RARE)  # type: ignore[arg-type]
        nn.init.constant_(self.sides.bias, 0.5)  # type: ignore[arg-type]

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        found = [self.stem(batch)]
        for down in self.down:
            found.append(down(found[-1]))
        fine = found[-1]
        for index in reversed(range(len(self.up))):
            wide = F.interpolate(self.narrow[index](fine), scale_factor=2.0, mode="nearest")
            fine = self.up[index](wide + found[index + 1])
        fine = self.head(fine)
        return self.centres(fine), self.sides(fine)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
