"""Measure a model on labelled cells."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from numpy.typing import ArrayLike

from ml.artifact import METRICS, ArtifactError, find_model, write_json
from ml.datasets import (
    DataError,
    Pixels,
    find_examples,
    has_slides,
    hold_out,
    load,
    read_slides,
)
from ml.engines import ENGINES
from ml.predictor import Predictor


class Command(BaseCommand):
    help = "Measure a model on a folder with Parasitized/ and Uninfected/."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, required=True, metavar="DIR")
        parser.add_argument(
            "--model", metavar="NAME_OR_DIR", help="A trained model; by default the shipped one."
        )
        parser.add_argument("--slides", type=Path, metavar="FILE", help="Only the slides listed.")
        parser.add_argument("--groups", type=Path, metavar="FILE", help="CSV of file name, slide.")
        parser.add_argument(
            "--output", type=Path, metavar="DIR", help="For metrics.json and plots."
        )
        parser.add_argument("--engine", choices=ENGINES, default="auto")

    def handle(self, *args: Any, **options: Any) -> None:
        from ml.evaluation import report
        from ml.measurement import measure

        try:
            predictor = Predictor.load_checked(find_model(options["model"]), options["engine"])
            pixels = self._cells(options, predictor.manifest.image_size)
        except (ArtifactError, DataError) as error:
            raise CommandError(str(error)) from None
        result, probability = measure(predictor, pixels)
        self.stdout.write(f"{predictor.manifest.name}\n\n{report(result)}")
        if output := options["output"]:
            model = {"model": predictor.manifest.name}
            self._write(output, model | result, probability, pixels.labels)

    def _cells(self, options: dict[str, Any], size: int) -> Pixels:
        examples = find_examples(options["data"], options["groups"])
        if options["slides"]:
            _, examples = hold_out(examples, read_slides(options["slides"]))
        if not examples:
            raise DataError(f"{options['slides']} names no slide.")
        if not has_slides(examples):
            self.stderr.write("Not every file name tells its slide: intervals are by image.")
        pixels = load(examples, size)
        for path, reason in pixels.unreadable:
            self.stderr.write(f"Left out {path}: {reason}")
        return pixels

    def _write(
        self, output: Path, result: dict[str, Any], probability: ArrayLike, truth: ArrayLike
    ) -> None:
        from ml import plots

        try:
            plots.save_plots(output, result, probability, truth)
            write_json(output / METRICS, result)
        except OSError as error:
            raise CommandError(
                f"The figures cannot be written to {output}: {error.strerror}."
            ) from None
