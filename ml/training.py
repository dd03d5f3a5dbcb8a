"""Training of the network: one loop, one checkpoint an epoch."""

import csv
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.optim.swa_utils import AveragedModel

from ml import durable
from ml.configuration import TrainingConfig, TrainingError
from ml.datasets import Pixels, fingerprint
from ml.devices import choose_device, choose_layout, choose_precision, keep_memory
from ml.images import normalised
from ml.network import CellNet, new_network
from ml.sampling import Deck

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.csv"


@dataclass(frozen=True)
class Step:
    """What the progress callback hears after every batch."""

    epoch: int
    epochs: int
    done: int
    total: int
    loss: float
    images_per_second: float


OnStep = Callable[[Step], None]
OnEpoch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Trained:
    network: CellNet
    history: list[dict[str, Any]]
    best_epoch: int


def is_begun(output: Path) -> bool:
    return (output / CHECKPOINT).exists()


def check(config: TrainingConfig, resumes: bool = False) -> None:
    """Raises TrainingError or WeightsError for what this machine lacks, before it takes hours."""
    choose_device(config.device)
    if not resumes:
        new_network(config.weights)


def train(
    config: TrainingConfig,
    training: Pixels,
    validation: Pixels,
    output: Path,
    resume: bool = False,
    on_step: OnStep = lambda step: None,
    on_epoch: OnEpoch = lambda row: None,
) -> Trained:
    """Train and return the network of the best epoch by validation accuracy.

    What is validated and returned is the running average of the weights. With no epochs the
    first weights are returned as they are.

    Each epoch ends with a checkpoint and a row of `history.csv` in `output`; every random number
    depends on the seed and the epoch alone, so `resume` goes on as if nothing had happened.
    """
    if not config.epochs:
        return Trained(new_network(config.weights).eval(), [], 0)
    keep_memory()
    run = _Run(config, training, output, resume and is_begun(output))
    while run.epoch < config.epochs:
        row = run.train_epoch(on_step)
        row |= run.validate(validation)
        run.finish_epoch(row)
        on_epoch(row)
    return run.result()


class _Run:
    """The state of a training that a checkpoint holds."""

    def __init__(
        self, config: TrainingConfig, training: Pixels, output: Path, resume: bool
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.training, self.output = config, training, output
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        network = new_network("none" if resume else config.weights)
        self.layout = choose_layout(self.precision, self.device)
        self.network = network.to(self.device, memory_format=self.layout)
        self.average = AveragedModel(
            self.network, multi_avg_fn=averaging(config.averaging), use_buffers=True
        )
        self.optimizer = _optimizer(self.network, config)
        self.deck = Deck(training, config.others)
        self.steps = max(1, len(self.deck) // config.batch_size)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, config.peak, epochs=config.epochs, steps_per_epoch=self.steps
        )
        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        if resume:
            self._restore()

    def train_epoch(self, on_step: OnStep) -> dict[str, Any]:
        self.network.train()
        generator = Generator().manual_seed(self.config.seed * 100_003 + self.epoch)
        order = self.deck.shuffled(generator)
        start, loss_sum, right, seen = time.monotonic(), 0.0, 0, 0
        for done in range(self.steps):
            chosen = order[done * self.config.batch_size : (done + 1) * self.config.batch_size]
            loss, correct = self._step(chosen, generator)
            seen += len(chosen)
            loss_sum += loss * len(chosen)
            right += correct
            speed = seen / (time.monotonic() - start)
            on_step(Step(self.epoch + 1, self.config.epochs, done + 1, self.steps, loss, speed))
        self.epoch += 1
        return {
            "epoch": self.epoch,
            "train_loss": loss_sum / seen,
            "train_accuracy": right / seen,
            "learning_rate": self.scheduler.get_last_lr()[0],
            "images_per_second": seen / (time.monotonic() - start),
        }

    def _step(self, chosen: Tensor, generator: Generator) -> tuple[float, int]:
        images, labels = self._batch(chosen)
        images = self.config.augmentation(images, generator)
        images, mates, share = mixed(images, self.config.mixup, generator)
        with torch.autocast(self.device.type, self.precision, self.precision != torch.float32):
            images = _normalise(images, self.config).contiguous(memory_format=self.layout)
            logits, *_ = self.network(images)
            loss = loss_of(logits, labels, mates, share, self.config.label_smoothing)
        if not torch.isfinite(loss):
            raise TrainingError(
                "The loss is no longer a number: start anew with a lower --learning-rate."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        self.average.update_parameters(self.network)
        return loss.item(), int((logits.argmax(1) == labels).sum())

    def _batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(self.training.images[chosen.numpy()]).to(self.device)
        labels = torch.from_numpy(self.training.labels[chosen.numpy()]).to(self.device)
        return images.permute(0, 3, 1, 2).float() / 255, labels

    def validate(self, validation: Pixels) -> dict[str, Any]:
        average = self.average.module
        logits = torch.from_numpy(predict_logits(average, validation.images, self.config))
        labels = torch.from_numpy(validation.labels)
        return {
            "validation_loss": F.cross_entropy(logits, labels).item(),
            "validation_accuracy": (logits.argmax(1) == labels).double().mean().item(),
        }

    def finish_epoch(self, row: dict[str, Any]) -> None:
        best = max((past["validation_accuracy"] for past in self.history), default=-1.0)
        self.history.append(row)
        if row["validation_accuracy"] > best:
            self.best_epoch = self.epoch
            state = self.average.module.state_dict()
            self.best = {name: value.detach().cpu().clone() for name, value in state.items()}
        self.save()

    def save(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()  # torch's own writing does not say that a disk is full
        torch.save(self._state(), content)
        durable.replace(self.output / CHECKPOINT, content.getbuffer())
        durable.sync(self.output.parent)
        write_history(self.output / HISTORY, self.history)

    def _state(self) -> dict[str, Any]:
        return {
            "config": self.config.as_dict(),
            "images": len(self.training.labels),
            "data": fingerprint(self.training.examples),
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "history": self.history,
            "best": self.best,
            "best_epoch": self.best_epoch,
        }

    def _restore(self) -> None:
        path = self.output / CHECKPOINT
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:
            raise TrainingError(f"The checkpoint {path} cannot be read: {error}") from None
        self._check_same(state)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.epoch, self.history = state["epoch"], state["history"]
        self.best, self.best_epoch = state["best"], state["best_epoch"]

    def _check_same(self, state: dict[str, Any]) -> None:
        now, then = essence(self.config.as_dict()), essence(state["config"])
        changed = sorted(name for name in now if now[name] != then.get(name))
        data = fingerprint(self.training.examples)
        if (state["images"], state.get("data", data)) != (len(self.training.labels), data):
            changed.append("the training images")
        if changed:
            raise TrainingError(
                f"The checkpoint in {self.output} was made with other settings "
                f"({', '.join(changed)}): use the same ones, or another --output."
            )

    def result(self) -> Trained:
        network = CellNet()
        network.load_state_dict({k: v.cpu() for k, v in self.best.items()})
        return Trained(network.eval(), self.history, self.best_epoch)


def essence(config: dict[str, Any]) -> dict[str, Any]:
    """What a resumed run must share; where it runs is free."""
    return {name: value for name, value in config.items() if name not in ("device", "precision")}


def _optimizer(network: CellNet, config: TrainingConfig) -> torch.optim.SGD:
    """SGD with Nesterov momentum; norms and biases are not decayed."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=config.peak, momentum=config.momentum, nesterov=True)


def averaging(keep: float) -> Callable[[Any, Any, Any], None]:
    """The running average's update; it keeps less in the first steps, whose weights are random."""

    def update(average: list[Tensor], now: list[Tensor], count: Tensor) -> None:
        kept = min(keep, (1 + int(count)) / (10 + int(count)))
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, now, 1 - kept)
        else:
            torch._foreach_copy_(average, now)

    return update


def loss_of(
    logits: Tensor, labels: Tensor, mates: Tensor, share: float, smoothing: float
) -> Tensor:
    """Cross entropy with each image's own label by its share, and with its mate's by the rest."""
    loss = share * F.cross_entropy(logits, labels, label_smoothing=smoothing)
    if share < 1:
        other = F.cross_entropy(logits, labels[mates], label_smoothing=smoothing)
        loss = loss + (1 - share) * other
    return loss


def mixed(images: Tensor, mixup: float, generator: Generator) -> tuple[Tensor, Tensor, float]:
    """(images, which other image each is mixed with, the share that is its own: at least a half)"""
    mates = torch.arange(len(images))
    if not mixup:
        return images, mates, 1.0
    mates = torch.randperm(len(images), generator=generator)
    chance = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
    share = float(chance.beta(mixup, mixup))
    share = max(share, 1 - share)
    return torch.lerp(images[mates], images, share), mates, share


def _normalise(images: Tensor, config: TrainingConfig) -> Tensor:
    mean = torch.tensor(config.mean, device=images.device)[:, None, None]
    std = torch.tensor(config.std, device=images.device)[:, None, None]
    return (images - mean) / std


@torch.inference_mode()
def predict_logits(
    network: torch.nn.Module, images: np.ndarray, config: TrainingConfig, batch_size: int = 128
) -> np.ndarray:
    """uint8 images (n, size, size, 3) → float32 logits (n, 2), in the network's own precision.

    They are normalised as a worker does it, to the last bit.
    """
    device = next(network.parameters()).device
    precision = choose_precision(config.precision, device)
    layout = choose_layout(precision, device)
    network.eval()
    batches = []
    for start in range(0, len(images), batch_size):
        pixels = normalised(images[start : start + batch_size], config.mean, config.std)
        batch = torch.from_numpy(pixels).to(device, memory_format=layout)
        with torch.autocast(device.type, precision, precision != torch.float32):
            logits, *_ = network(batch)
        batches.append(logits.float().cpu())
    return torch.cat(batches).numpy() if batches else np.empty((0, 2), np.float32)


def write_history(path: Path, history: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
