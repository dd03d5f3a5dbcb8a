"""Train the network that finds the red cells of a field."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

TOLD = 50


class Command(BaseCommand):
    help = (
        "Train the finder of red cells on annotated fields and write its artifact. Fields in a row "
        "stay together, as blocks: some choose the threshold, some are only reported on."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        from ml.finder_training import FinderConfig

        parser.add_argument("--fields", type=Path, nargs="+", required=True, metavar="DIR")
        parser.add_argument("--output", type=Path, required=True, metavar="DIR")
        parser.add_argument("--blocks", type=int, default=10)
        parser.add_argument("--validation-blocks", type=int, nargs="+", default=[10], metavar="N")
        parser.add_argument("--test-blocks", type=int, nargs="*", default=[], metavar="N")
        parser.add_argument("--steps", type=int, default=FinderConfig.steps)
        parser.add_argument("--seed", type=int, default=FinderConfig.seed)

    def handle(self, *args: Any, **options: Any) -> None:
        from ml.artifact import ArtifactError
        from ml.configuration import TrainingError
        from ml.datasets import DataError
        from ml.finder_packing import build_finder, split_fields
        from ml.finder_training import FinderConfig

        count = options["blocks"]
        validation, test = set(options["validation_blocks"]), set(options["test_blocks"])
        if unknown := (validation | test) - set(range(1, count + 1)):
            raise CommandError(f"There is no block {min(unknown)} of {count}.")
        if both := validation & test:
            raise CommandError(f"Block {min(both)} cannot choose and be reported on.")
        try:
            config = FinderConfig(steps=options["steps"], seed=options["seed"])
            split = split_fields(options["fields"], count, validation, test)
            self._say(f"Training on {len(split.training):,} fields")
            found = build_finder(options["output"], split, config, self._telling(config.steps))
        except (ArtifactError, DataError, TrainingError) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(
                f"The finder cannot be written to {options['output']}: {error.strerror or error}."
            ) from None
        for part, folders in found.items():
            for name, figures in folders.items():
                told = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
                self._say(f"{part}, {name}: {told}")

    def _telling(self, steps: int) -> Any:
        losses: list[float] = []
        start = time.monotonic()

        def tell(step: int, loss: float) -> None:
            losses.append(loss)
            if step % TOLD == 0 or step == steps:
                mean = sum(losses) / len(losses)
                losses.clear()
                left = (time.monotonic() - start) / step * (steps - step)
                self._say(f"step {step:,} of {steps:,}: loss {mean:.3f}, {left:.0f} s left")

        return tell

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
