"""Random views of a batch of cells: what another slide, stain, camera or cutting would show."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ml.images import CELL_COLOUR

BLACK = 0.1
"""Where no channel is brighter, a pixel is taken for background that was painted black."""
CELL = tuple(value / 255 for value in CELL_COLOUR)


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes; each is drawn anew for every image of a batch."""

    rotation: float = 15.0
    scale: tuple[float, float] = (0.8, 1.2)
    shift: float = 0.06
    gain: float = 0.12
    stain: tuple[float, float] = (0.65, 1.5)
    """How much deeper than the cell's body all that is darker is stained, and lighter the rest."""
    tint: float = 0.15
    """By how much this differs from channel to channel: another mixture of the two dyes."""
    saturation: tuple[float, float] = (0.6, 1.4)
    brightness: float = 0.05
    blur: float = 0.4
    noise: float = 0.02
    painted: float = 0.5
    crowded: float = 0.5
    """Share of the painted backgrounds on which neighbouring cells lie."""
    borrowed: float = 0.4
    """Share of the painted backgrounds taken from a photograph of the batch, if it holds any."""

    def __call__(self, batch: Tensor, generator: Generator) -> Tensor:
        """Float images (n, 3, size, size) in 0..1 → the same shape and range."""
        batch = _warp(batch, self, generator)
        background = _background(batch)
        batch = _recolour(batch, self, generator)
        batch = _paint(batch, background, self, generator)
        batch = _blur(batch, self.blur, generator)
        noise = torch.randn(batch.shape, generator=generator).to(batch) * self.noise
        strength = _uniform(batch, generator, 0, 1)
        return (batch + noise * strength).clamp_(0, 1)


def augmented(
    images: np.ndarray, augmentation: Augmentation, seed: int = 0, batch: int = 64
) -> np.ndarray:
    """uint8 images (n, size, size, 3) → one random view of each."""
    generator = Generator().manual_seed(seed)
    views = []
    for start in range(0, len(images), batch):
        part = torch.from_numpy(images[start : start + batch]).permute(0, 3, 1, 2).float() / 255
        views.append((augmentation(part, generator) * 255).round().byte().permute(0, 2, 3, 1))
    return torch.cat(views).numpy()


def _uniform(
    like: Tensor, generator: Generator, low: float, high: float, channels: int = 1
) -> Tensor:
    """One number for each image (and channel): (n, channels, 1, 1)."""
    drawn = torch.rand((len(like), channels, 1, 1), generator=generator)
    return (drawn * (high - low) + low).to(like)


def _chosen(like: Tensor, generator: Generator, share: float) -> Tensor:
    return (_uniform(like, generator, 0, 1) < share).to(like.dtype)


def _warp(batch: Tensor, ranges: Augmentation, generator: Generator) -> Tensor:
    """Mirror, quarter turn, small turn, scale and shift in one resampling."""
    n = len(batch)
    draw = torch.rand((7, n), generator=generator)
    angle = (draw[0] * 4).floor() * (math.pi / 2)
    angle = angle + (draw[1] * 2 - 1) * math.radians(ranges.rotation)
    low, high = (math.log(limit) for limit in ranges.scale)
    zoom = torch.exp(-(draw[2] * (high - low) + low))
    mirror = torch.where(draw[3] < 0.5, -1.0, 1.0)
    shift = (draw[4:6] * 2 - 1) * (2 * ranges.shift)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [
        torch.stack([cos * mirror, -sin, shift[0]], 1),
        torch.stack([sin * mirror, cos, shift[1]], 1),
    ]
    cut_out = _is_cut_out(batch)
    # A photograph goes on at its edge; never is much of it made up.
    zoom = torch.where(cut_out.cpu(), zoom, zoom.clamp(max=1))
    rows = [torch.cat([row[:, :2] * zoom[:, None], row[:, 2:]], 1) for row in rows]
    grid = F.affine_grid(torch.stack(rows, 1).to(batch), list(batch.shape), align_corners=False)
    warped = torch.empty_like(batch)
    for chosen, beyond in ((cut_out, "zeros"), (~cut_out, "reflection")):
        warped[chosen] = F.grid_sample(
            batch[chosen], grid[chosen], padding_mode=beyond, align_corners=False
        )
    return warped


def _is_cut_out(batch: Tensor) -> Tensor:
    """(n,): whether the corners are black, as a program that cuts cells out leaves them."""
    side = batch.shape[-1] // 16 + 1
    edge = batch.amax(1)
    corners = [
        edge[:, rows, columns]
        for rows in (slice(side), slice(-side, None))
        for columns in (slice(side), slice(-side, None))
    ]
    black = torch.stack([(corner < BLACK).flatten(1).all(1) for corner in corners])
    return black.sum(0) >= 2


def _background(batch: Tensor) -> Tensor:
    """Soft mask (n, 1, size, size) of what is black, two pixels wider than it is.

    The cutting left a dark line around each cell; a network would learn it for the cell's edge.
    """
    black = (batch.amax(1, keepdim=True) < BLACK).to(batch.dtype)
    return F.avg_pool2d(F.max_pool2d(black, 5, 1, 2), 3, 1, 1, count_include_pad=False)


def _recolour(batch: Tensor, ranges: Augmentation, generator: Generator) -> Tensor:
    gain = _uniform(batch, generator, 1 - ranges.gain, 1 + ranges.gain, channels=3)
    batch = batch * gain + _uniform(batch, generator, -ranges.brightness, ranges.brightness)
    grey = batch.mean(1, keepdim=True)
    batch = grey + (batch - grey) * _uniform(batch, generator, *ranges.saturation)
    return _restain(batch, ranges, generator)


def _restain(batch: Tensor, ranges: Augmentation, generator: Generator) -> Tensor:
    """Density against the cell's body times a factor: as more or less dye absorbs (Beer, Lambert).

    After Tellez et al. 2018, who vary the densities of two dyes in tissue.
    """
    low, high = (math.log(limit) for limit in ranges.stain)
    depth = torch.exp(_uniform(batch, generator, low, high))
    depth = depth * torch.exp(_uniform(batch, generator, -ranges.tint, ranges.tint, channels=3))
    body = torch.tensor(CELL, device=batch.device, dtype=batch.dtype)[:, None, None]
    return body * (batch.clamp(1e-3, 1) / body) ** depth


def _paint(batch: Tensor, background: Tensor, ranges: Augmentation, generator: Generator) -> Tensor:
    """Some of the black backgrounds as a field shows them: light, shaded, with cells beside."""
    light = _uniform(batch, generator, 0.55, 0.98)
    colour = light + _uniform(batch, generator, -0.1, 0.1, channels=3)
    slope = torch.linspace(-1, 1, batch.shape[-1]).to(batch)
    shade = slope * _uniform(batch, generator, -0.08, 0.08)
    shade = shade + slope[:, None] * _uniform(batch, generator, -0.08, 0.08)
    behind = (colour + shade).expand_as(batch)
    crowded = _chosen(batch, generator, ranges.crowded)
    neighbours, gap = _neighbours(batch, background, generator)
    behind = torch.lerp(neighbours, behind, (gap * crowded + 1 - crowded).expand_as(batch))
    photographs = torch.nonzero(background.amax((1, 2, 3)) == 0).flatten()
    if len(photographs):
        chosen = torch.randint(len(photographs), (len(batch),), generator=generator)
        borrowed = _chosen(batch, generator, ranges.borrowed)
        behind = torch.lerp(behind, batch[photographs[chosen]], borrowed.expand_as(batch))
    return torch.lerp(batch, behind, background * _chosen(batch, generator, ranges.painted))


def _neighbours(batch: Tensor, background: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """The batch's own cells moved to other images' edges, and the mask of the gaps between."""
    size = batch.shape[-1]
    down, right = size // 2 + torch.randint(-size // 6, size // 6 + 1, (2,), generator=generator)
    to = {"shifts": (1, int(down), int(right)), "dims": (0, 2, 3)}
    return batch.roll(**to), background.roll(**to)


def _blur(batch: Tensor, share: float, generator: Generator) -> Tensor:
    weight = _uniform(batch, generator, 0, 1) * _chosen(batch, generator, share)
    smooth = F.avg_pool2d(batch, 3, 1, 1, count_include_pad=False)
    smooth = F.avg_pool2d(smooth, 3, 1, 1, count_include_pad=False)
    return torch.lerp(batch, smooth, weight.expand_as(batch))
