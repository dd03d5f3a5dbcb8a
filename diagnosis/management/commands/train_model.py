"""Train a model and write its artifact."""

import dataclasses
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

if TYPE_CHECKING:
    from ml.configuration import TrainingConfig
    from ml.pipeline import Source

KEPT = "Finished epochs are kept; go on with --resume."
NUMBERS = {
    "epochs": int,
    "image_size": int,
    "batch_size": int,
    "learning_rate": float,
    "validation_share": float,
    "seed": int,
    "others": int,
    "mixup": float,
}


class Command(BaseCommand):
    help = "Train a ResNet34 on a folder with Parasitized/ and Uninfected/ and write its artifact."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        from ml.configuration import PRECISIONS, TrainingConfig

        default = TrainingConfig()
        parser.add_argument("--data", type=Path, required=True, metavar="DIR")
        parser.add_argument("--output", type=Path, required=True, metavar="DIR")
        parser.add_argument(
            "--weights",
            default=default.weights,
            help="imagenet, none (random), a file, or several with commas between: their mean.",
        )
        for name, kind in NUMBERS.items():
            flag = f"--{name.replace('_', '-')}"
            parser.add_argument(flag, type=kind, default=getattr(default, name))
        parser.add_argument(
            "--no-levelling",
            dest="cell_colour",
            action="store_const",
            const=None,
            default=default.cell_colour,
            help="Take colours as they are; else each cell's body is brought to one colour.",
        )
        parser.add_argument("--precision", choices=PRECISIONS, default=default.precision)
        parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default=default.device)
        parser.add_argument("--holdout-slides", type=Path, metavar="FILE", help="Only measured on.")
        parser.add_argument("--folds", type=int, metavar="K", help="Cross-validate instead.")
        parser.add_argument(
            "--only-folds",
            type=int,
            nargs="+",
            default=[],
            metavar="N",
            help="Of the K folds, train these now; finished ones in --output are pooled too.",
        )
        parser.add_argument("--groups", type=Path, metavar="FILE", help="CSV of file, slide.")
        parser.add_argument(
            "--other-labs",
            type=Path,
            nargs="+",
            default=[],
            metavar="DIR",
            help="Cells of other laboratories (cut_cells makes such folders): only trained on.",
        )
        parser.add_argument("--resume", action="store_true", help="Go on with a stopped training.")
        parser.add_argument(
            "--include-reviews",
            action="store_true",
            help="Train also on the images of this installation that people reviewed as "
            "parasitized or uninfected, where their standing reviews agree. They are added to the "
            "training part only. With no such image it stops before training; with --resume they "
            "must be the same ones.",
        )
        parser.add_argument(
            "--activate",
            action="store_true",
            help="Make it the model of this installation, unless it is worse than the active one "
            "on the validation slides. Either way the last line says which, it is registered, and "
            "the exit status is 0; scripts look for 'stays inactive' in it.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from diagnosis.progress import Progress

        if options["only_folds"] and not options["folds"]:
            raise CommandError("--only-folds needs --folds K: of how many folds?")
        if options["folds"] and options["activate"]:
            raise CommandError(
                "--folds measures and makes no model to --activate: use one of them."
            )
        for flag in ("include_reviews", "activate"):
            if options[flag]:
                self._require_database(f"--{flag.replace('_', '-')}")
        with Progress() as progress:
            self._build(options, progress.listener())
        self._report(options["output"])
        if options["activate"]:
            self._activate(options)

    def _require_database(self, flag: str) -> None:
        """Before the training rather than after it."""
        from django.db import DatabaseError

        from diagnosis.models import Activation, ModelVersion, Review

        try:
            for needed in (ModelVersion, Activation, Review):
                needed.objects.exists()
        except DatabaseError as error:
            raise CommandError(
                f"{flag} needs the database of this installation, which is not ready "
                f"({str(error).strip()}): run manage.py prepare first."
            ) from None

    def _build(self, options: dict[str, Any], listener: Any) -> None:
        from ml.artifact import ArtifactError
        from ml.configuration import TrainingError
        from ml.datasets import DataError
        from ml.devices import is_out_of_memory
        from ml.export import ExportError
        from ml.network import WeightsError

        try:
            self._train(options, listener)
        except (ArtifactError, DataError, ExportError, TrainingError, WeightsError) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(
                f"{error.strerror or error}: {error.filename or options['output']}. {KEPT}"
            ) from None
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise CommandError(
                f"The memory of this machine does not suffice: use a smaller --image-size or "
                f"--batch-size. {KEPT}"
            ) from None
        except KeyboardInterrupt:
            raise CommandError(f"Stopped. {KEPT}", returncode=130) from None

    def _train(self, options: dict[str, Any], listener: Any) -> None:
        from ml.folds import cross_validate
        from ml.pipeline import build

        config, source = _config(options), _source(options)
        output, resume = options["output"], options["resume"]
        with tempfile.TemporaryDirectory(prefix="reviewed-") as folder:
            if options["include_reviews"]:
                from diagnosis.learning import reviewed_examples

                reviewed = tuple(reviewed_examples(Path(folder), listener.on_warning))
                source = dataclasses.replace(source, reviewed=reviewed)
            if (folds := options["folds"]) is not None:
                only = options["only_folds"]
                cross_validate(config, source, output, folds, only, resume, listener)
            else:
                build(config, source, output, resume, listener)

    def _report(self, output: Path) -> None:
        from ml.artifact import read_metrics
        from ml.evaluation import report, report_folds

        metrics = read_metrics(output)
        if folds := metrics.get("folds"):
            self.stdout.write(f"\n{metrics['trained']} of {metrics['of']} folds\n")
            self.stdout.write(report_folds(folds))
        for part in ("validation", "test", "pooled"):
            if metrics.get(part):
                self.stdout.write(f"\n{part.capitalize()} slides\n\n{report(metrics[part])}")
        self.stdout.write(f"\nAll figures and plots are in {output}.")

    def _activate(self, options: dict[str, Any]) -> None:
        from diagnosis.gate import admit
        from ml.pipeline import divide

        try:
            _, validation, _ = divide(_config(options), _source(options))
            self.stdout.write(f"\n{admit(options['output'], validation)}")
        except KeyboardInterrupt:
            raise CommandError(
                f"Stopped before it was activated. The model is in {options['output']}.",
                returncode=130,
            ) from None


def _config(options: dict[str, Any]) -> "TrainingConfig":
    from ml.configuration import TrainingConfig

    known = {field.name for field in dataclasses.fields(TrainingConfig)}
    return TrainingConfig(**{k: v for k, v in options.items() if k in known})


def _source(options: dict[str, Any]) -> "Source":
    """The folder; slides held out are reported on, or left out where each fold has its own."""
    from ml.datasets import read_slides
    from ml.pipeline import Source

    holdout = options["holdout_slides"]
    slides = frozenset(read_slides(holdout)) if holdout else frozenset()
    source = Source(options["data"], options["groups"], others=tuple(options["other_labs"]))
    if options["folds"]:
        return dataclasses.replace(source, unused=slides)
    return dataclasses.replace(source, test=slides)
