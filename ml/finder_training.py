"""Training of the finder: windows of annotated fields → a small network that marks cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ml.annotations import (
    NO_RED_CELL,
    PARASITIZED,
    SAME_CELL,
    UNINFECTED,
    read_annotations,
    read_photograph,
)
from ml.configuration import require_limits
from ml.datasets import DataError
from ml.detection import Truth
from ml.devices import choose_layout, choose_precision, keep_memory
from ml.fields import STRIDE, as_input, overlaps
from ml.finder_network import FinderNet
from ml.training import averaging

WINDOW = 192
"""Pixels of the square that is trained on at a time."""
SIDE = 32.0
"""Of a usual cell in the network's input."""
SCALES = (0.7, 1.5)
LEAST_VISIBLE = 0.35
"""A cell of which less is in the window is neither asked for nor held against the network."""
PARASITIZED_WINDOWS = 0.5
"""Of the fields that are drawn, those with a parasitized cell, and of their windows those that show
one: they are one cell in 70, and gametocytes and schizonts look like no other red cell."""
SPREAD = 0.09
"""Standard deviation of a centre's peak, as a share of the box's side."""
KIND_OF = {
    UNINFECTED: 0,
    **dict.fromkeys(PARASITIZED, 0),
    **dict(zip(NO_RED_CELL, (1, 2), strict=True)),
}
IGNORED = -1


LIMITS = {"steps": (1, 10**6), "seed": (0, 2**32 - 1)}


@dataclass(frozen=True)
class FinderConfig:
    """Raises TrainingError for a value that no training can have."""

    steps: int = 6000
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    averaging: float = 0.995
    box_weight: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_limits(self, LIMITS)


@dataclass(frozen=True)
class Field:
    """An annotated field in memory."""

    name: str
    pixels: np.ndarray
    boxes: np.ndarray
    """Corners (n, 4)."""
    kinds: np.ndarray
    """Index into KINDS (n,), or IGNORED."""
    parasitized: np.ndarray
    side: float
    """Of its usual red cell."""

    @property
    def truth(self) -> Truth:
        return Truth(self.boxes, self.kinds == 0, self.parasitized, self.pixels.shape[:2])


def read_fields(folder: Path, annotated: Sequence[dict[str, Any]] | None = None) -> list[Field]:
    """Every field of a folder (or those given) that has a red cell; cells boxed twice once."""
    chosen = read_annotations(folder) if annotated is None else annotated
    found = [_field(folder, entry) for entry in chosen]
    fields = [field for field in found if (field.kinds == 0).any()]
    if not fields:
        raise DataError(f"{folder} has no field with a red cell.")
    return fields


def _field(folder: Path, entry: dict[str, Any]) -> Field:
    pixels = np.asarray(read_photograph(folder, entry))
    cells = [cell for cell in entry["cells"] if min(cell["box"][2:]) > 0]
    corners = np.array([cell["box"] for cell in cells], float).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    kinds = np.array([KIND_OF.get(cell["type"], IGNORED) for cell in cells], int)
    parasitized = np.array([cell["type"] in PARASITIZED for cell in cells], bool)
    once = _once(corners, kinds, parasitized)
    corners, kinds, parasitized = corners[once], kinds[once], parasitized[once]
    red = corners[kinds == 0]
    side = float(np.median(np.sqrt((red[:, 2:] - red[:, :2]).prod(axis=1)))) if len(red) else 0.0
    return Field(Path(entry["image"]).stem, pixels, corners, kinds, parasitized, side)


def _once(corners: np.ndarray, kinds: np.ndarray, parasitized: np.ndarray) -> np.ndarray:
    """A cell boxed as healthy and as parasitized is the latter."""
    shared = overlaps(corners, corners) >= SAME_CELL
    doubled = (shared & parasitized[None, :]).any(axis=1) & ~parasitized & (kinds == 0)
    return np.flatnonzero(~doubled)


def window(
    field: Field, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A random square of a field at a random size: input (3, w, w), target, and its weights.

    The target holds, for each place of the map, the peaks of each kind and the four sides; the
    weights say which peaks count and how much each place's sides do.
    """
    scale = SIDE * generator.uniform(*SCALES) / field.side
    size = WINDOW / scale
    x, y = _corner(field, size, generator)
    pixels = _cut(field.pixels, x, y, size)
    boxes = (field.boxes - [x, y, x, y]) * scale
    outside = _outside(field, x, y, scale)
    pixels = _recoloured(pixels, generator)
    batch = as_input(pixels)[0]
    for axis in (1, 2):
        if generator.random() < 0.5:
            batch, outside = np.flip(batch, axis), np.flip(outside, axis - 1)
            low, high = (1, 3) if axis == 1 else (0, 2)
            boxes[:, [low, high]] = WINDOW - boxes[:, [high, low]]
    if generator.random() < 0.5:
        batch, outside = batch.transpose(0, 2, 1), outside.T
        boxes = boxes[:, [1, 0, 3, 2]]
    return np.ascontiguousarray(batch), *targets(boxes, field.kinds, outside)


def _corner(field: Field, size: float, generator: np.random.Generator) -> tuple[float, float]:
    """Of a square within the photograph, as far as that is large enough."""
    height, width = field.pixels.shape[:2]
    limits = [(min(0, side - size), max(0, side - size)) for side in (width, height)]
    x, y = (generator.uniform(*ends) for ends in limits)
    if field.parasitized.any() and generator.random() < PARASITIZED_WINDOWS:
        box = generator.choice(field.boxes[field.parasitized])
        nearest = (box[:2] + box[2:]) / 2 - size * generator.uniform(0.2, 0.8, 2)
        x, y = (np.clip(at, *ends) for at, ends in zip(nearest, limits, strict=True))
    return float(x), float(y)


def _cut(pixels: np.ndarray, x: float, y: float, size: float) -> np.ndarray:
    height, width = pixels.shape[:2]
    left, top = max(0, int(x)), max(0, int(y))
    right, lower = min(width, int(x + size) + 1), min(height, int(y + size) + 1)
    scale = reach = WINDOW / size
    part = pixels[top:lower, left:right]
    white = np.percentile(part[::4, ::4], 95, axis=(0, 1))
    if scale < 0.5:
        factor = int(0.5 / scale) + 1
        part = cv2.resize(part, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
        scale *= factor
    move = np.array([[scale, 0, (left - x) * reach], [0, scale, (top - y) * reach]])
    return np.asarray(
        cv2.warpAffine(
            part,
            move,
            (WINDOW, WINDOW),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=white.tolist(),
        )
    )


def _outside(field: Field, x: float, y: float, scale: float) -> np.ndarray:
    """(w/4, w/4) whether a place is beyond the photograph, or so close to its edge that cells
    there, being cut off, may have no box."""
    height, width = field.pixels.shape[:2]
    places = (np.arange(WINDOW // STRIDE) + 0.5) * STRIDE / scale
    near = 0.6 * field.side
    far_x = (places + x < near) | (places + x > width - near)
    far_y = (places + y < near) | (places + y > height - near)
    return far_x[None, :] | far_y[:, None]


def _recoloured(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Another lamp, camera, depth of stain, focus."""
    values: np.ndarray = pixels.astype(np.float32) / 255
    values = values ** generator.uniform(0.6, 1.7, 3 if generator.random() < 0.5 else 1)
    values *= generator.uniform(0.6, 1.25, 3)
    if generator.random() < 0.3:
        grey = values.mean(axis=2, keepdims=True)
        values = grey + generator.uniform(0, 1.5) * (values - grey)
    if generator.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), generator.uniform(0.4, 1.6))
    if generator.random() < 0.3:
        values += generator.normal(0, generator.uniform(0, 0.05), values.shape)
    return np.asarray((values.clip(0, 1) * 255).astype(np.uint8))


def targets(
    boxes: np.ndarray, kinds: np.ndarray, outside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Corners in a window → (kinds + 4, h, w) peaks and sides, (2, h, w) weights of each."""
    side = WINDOW // STRIDE
    target = np.zeros((3 + 4, side, side), np.float32)
    weight = np.stack([~outside, np.zeros_like(outside)]).astype(np.float32)
    seen = boxes.clip(0, WINDOW)
    visible = (seen[:, 2:] - seen[:, :2]).prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    places = (np.arange(side) + 0.5) * STRIDE
    for box, kind, share in zip(seen, kinds, visible, strict=True):
        if share <= 0:
            continue
        wide = np.maximum(SPREAD * (box[2:] - box[:2]), 0.7 * STRIDE)
        away = (places[None] - (box[:2, None] + box[2:, None]) / 2) / wide[:, None]
        peak = np.exp(-(away[0][None, :] ** 2 + away[1][:, None] ** 2) / 2)
        if kind == IGNORED or share < LEAST_VISIBLE:
            weight[0][peak > 0.05] = 0
            continue
        y, x = np.unravel_index(peak.argmax(), peak.shape)
        here = peak > np.maximum(weight[1], 0.3)
        weight[0][peak > 0.1] = 1
        target[kind] = np.maximum(target[kind], peak)
        target[kind, y, x] = 1
        weight[1][here] = peak[here]
        row, column = np.nonzero(here)
        target[3:, row, column] = (
            np.stack(
                [
                    places[column] - box[0],
                    places[row] - box[1],
                    box[2] - places[column],
                    box[3] - places[row],
                ]
            )
            / SIDE
        )
    return target, weight


def loss_of(
    centres: Tensor, sides: Tensor, target: Tensor, weight: Tensor, box_weight: float
) -> Tensor:
    """Penalty-reduced focal loss of the peaks (Law and Deng 2018) and L1 of the sides."""
    peaks = target[:, :3]
    found = torch.sigmoid(centres.float()).clamp(1e-4, 1 - 1e-4)
    right = (peaks == 1).float()
    positive = right * (1 - found) ** 2 * torch.log(found)
    negative = (1 - right) * (1 - peaks) ** 4 * found**2 * torch.log(1 - found)
    count = right.sum().clamp(min=1)
    focal = -((positive + negative) * weight[:, :1]).sum() / count
    away = F.l1_loss(sides.float(), target[:, 3:], reduction="none").mean(dim=1)
    near = weight[:, 1] * weight[:, 0]
    return focal + box_weight * (away * near).sum() / near.sum().clamp(min=1)


def _drawn(fields: Sequence[Field], generator: np.random.Generator) -> Field:
    infected = [field for field in fields if field.parasitized.any()]
    among = infected if infected and generator.random() < PARASITIZED_WINDOWS else fields
    return among[int(generator.integers(len(among)))]


def one_cycle(
    optimizer: torch.optim.Optimizer, config: FinderConfig
) -> torch.optim.lr_scheduler.OneCycleLR:
    """Its first tenth rises; of few steps more, as torch divides by `pct_start` * steps - 1."""
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.learning_rate,
        total_steps=config.steps,
        pct_start=0.1 if config.steps > 10 else 0.3,
    )


def train_finder(
    fields: Sequence[Field],
    config: FinderConfig,
    on_step: Callable[[int, float], None],
    start: FinderNet | None = None,
) -> FinderNet:
    """The running average of the weights after the last step, from random weights or a start."""
    from torch.utils.data import DataLoader, Dataset

    class Windows(Dataset[Any]):
        def __len__(self) -> int:
            return config.steps * config.batch_size

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            generator = np.random.default_rng([config.seed, index])
            return window(_drawn(fields, generator), generator)

    keep_memory()
    torch.manual_seed(config.seed)
    cv2.setNumThreads(1)
    cpu = torch.device("cpu")
    precision = choose_precision("auto", cpu)
    layout = choose_layout(precision, cpu)
    network = (start or FinderNet()).to(memory_format=layout)
    average = AveragedModel(network, multi_avg_fn=averaging(config.averaging), use_buffers=True)
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = one_cycle(optimizer, config)
    network.train()
    batches = DataLoader(Windows(), batch_size=config.batch_size, num_workers=0)
    for step, (batch, target, weight) in enumerate(batches, 1):
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            centres, sides = network(batch.to(memory_format=layout))
        loss = loss_of(centres, sides, target, weight, config.box_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        on_step(step, float(loss.detach()))
    network.load_state_dict(average.module.state_dict())
    return network.eval()
