"""How a training shows itself in a terminal: bars with speed and time left, a row an epoch."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ml.pipeline import Listener
from ml.training import Step


class Progress:
    """A context whose `listener` hears a training; without a terminal only the rows are printed."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.loading = self.bars.add_task("Images", total=None, speed="", visible=False)
        self.training = self.bars.add_task("Training", total=None, speed="", visible=False)

    def __enter__(self) -> "Progress":
        self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bars.stop()

    def listener(self) -> Listener:
        return Listener(
            on_stage=self._say("bold"),
            on_load=self._load,
            on_step=self._step,
            on_epoch=self._epoch,
            on_warning=self._say("yellow"),
        )

    def _say(self, style: str) -> Callable[[str], None]:
        """What is said may name files, whose brackets are not markup."""
        return lambda sentence: self.console.print(
            sentence, style=style, markup=False, highlight=False
        )

    def _load(self, done: int, total: int) -> None:
        self.bars.update(self.loading, completed=done, total=total, visible=done < total)

    def _step(self, step: Step) -> None:
        self.bars.update(
            self.training,
            description=f"Epoch {step.epoch}/{step.epochs}, loss {step.loss:.3f}",
            completed=(step.epoch - 1) * step.total + step.done,
            total=step.epochs * step.total,
            speed=f"{step.images_per_second:.0f} images/s",
            visible=True,
        )

    def _epoch(self, row: dict[str, Any]) -> None:
        self.console.print(
            f"epoch {row['epoch']:>3}  loss {row['train_loss']:.4f}  "
            f"validation loss {row['validation_loss']:.4f}  "
            f"accuracy {row['validation_accuracy']:.4f}  {row['images_per_second']:.0f} images/s",
            highlight=False,
        )
