"""Measure a model on labelled cells."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ml.artifact import METRICS, ArtifactError, find_model, write_json
from ml.datasets import DataError, find_examples, has_slides, hold_out, load, read_slides
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
        from ml import plots
        from ml.evaluation import report
        from ml.measurement import measure

        try:
            folder = find_model(options["model"])
            predictor = Predictor.load(folder, options["engine"])
            predictor.check(folder)
            examples = find_examples(options["data"], options["groups"])
            if options["slides"]:
                _, examples = hold_out(examples, read_slides(options["slides"]))
            if not examples:
                raise DataError(f"{options['slides']} names no slide.")
            if not has_slides(examples):
                self.stderr.write("Not every file name tells its slide: intervals are by image.")
            pixels = load(examples, predictor.manifest.image_size)
        except (ArtifactError, DataError) as error:
            raise CommandError(str(error)) from None
        for path, reason in pixels.unreadable:
            self.stderr.write(f"Left out {path}: {reason}")
        result, probability = measure(predictor, pixels)
        self.stdout.write(f"{predictor.manifest.name}\n\n{report(result)}")
        if output := options["output"]:
            try:
                plots.save_plots(output, result, probability, pixels.labels)
                write_json(output / METRICS, {"model": predictor.manifest.name, **result})
            except OSError as error:
                raise CommandError(
                    f"The figures cannot be written to {output}: {error.strerror}."
                ) from None
