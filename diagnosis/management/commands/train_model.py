"""Train a model and write its artifact."""

import dataclasses
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

KEPT = "Finished epochs are kept; go on with --resume."
NUMBERS = {
    "epochs": int,
    "image_size": int,
    "batch_size": int,
    "learning_rate": float,
    "validation_share": float,
    "seed": int,
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
            "--weights", default=default.weights, help="imagenet, none (random), or a file."
        )
        for name, kind in NUMBERS.items():
            flag = f"--{name.replace('_', '-')}"
            parser.add_argument(flag, type=kind, default=getattr(default, name))
        parser.add_argument("--precision", choices=PRECISIONS, default=default.precision)
        parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default=default.device)
        parser.add_argument("--holdout-slides", type=Path, metavar="FILE", help="Only reported on.")
        parser.add_argument("--folds", type=int, metavar="K", help="Cross-validate instead.")
        parser.add_argument(
            "--only-folds",
            type=int,
            nargs="+",
            default=[],
            metavar="N",
            help="Of the K folds, train these now; finished ones in --output are pooled too.",
        )
        parser.add_argument("--groups", type=Path, metavar="FILE", help="CSV of file name, slide.")
        parser.add_argument("--resume", action="store_true", help="Go on with a stopped training.")
        parser.add_argument(
            "--activate", action="store_true", help="Make it the model of this installation."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from diagnosis.progress import Progress

        if options["only_folds"] and not options["folds"]:
            raise CommandError("--only-folds needs --folds K: of how many folds?")
        if options["folds"] and options["activate"]:
            raise CommandError(
                "--folds measures and makes no model to --activate: use one of them."
            )
        if options["activate"]:
            self._require_database()
        with Progress() as progress:
            self._build(options, progress.listener())
        self._report(options["output"])
        if options["activate"]:
            self._activate(options["output"])

    def _require_database(self) -> None:
        """Before the training rather than after it."""
        from django.db import DatabaseError

        from diagnosis.models import ModelVersion

        try:
            ModelVersion.objects.exists()
        except DatabaseError as error:
            raise CommandError(
                f"--activate needs the database of this installation, which is not ready "
                f"({str(error).strip()}): run manage.py prepare first."
            ) from None

    def _build(self, options: dict[str, Any], listener: Any) -> None:
        from ml.artifact import ArtifactError
        from ml.configuration import TrainingError
        from ml.datasets import DataError
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
        except MemoryError:
            raise CommandError(
                f"The memory of this machine does not suffice: use a smaller --image-size or "
                f"--batch-size. {KEPT}"
            ) from None
        except KeyboardInterrupt:
            raise CommandError(f"Stopped. {KEPT}", returncode=130) from None

    def _train(self, options: dict[str, Any], listener: Any) -> None:
        from ml.configuration import TrainingConfig
        from ml.datasets import read_slides
        from ml.folds import cross_validate
        from ml.pipeline import Source, build

        known = {field.name for field in dataclasses.fields(TrainingConfig)}
        config = TrainingConfig(**{k: v for k, v in options.items() if k in known})
        holdout = options["holdout_slides"]
        slides = frozenset(read_slides(holdout)) if holdout else frozenset()
        source = Source(options["data"], options["groups"])
        output, resume = options["output"], options["resume"]
        if folds := options["folds"]:
            unused = dataclasses.replace(source, unused=slides)
            only = options["only_folds"]
            cross_validate(config, unused, output, folds, only, resume, listener)
        else:
            test = dataclasses.replace(source, test=slides)
            build(config, test, output, resume, listener)

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

    def _activate(self, output: Path) -> None:
        from diagnosis.registry import register

        version = register(output, activate=True, reason="Trained with --activate.")
        self.stdout.write(f"{version.name} is now the active model of this installation.")
