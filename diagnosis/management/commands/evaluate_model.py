"""Measure a model on labelled cells, or measure again what was said of them."""

from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from ml.artifact import (
    BACKGROUND,
    METRICS,
    TRAINED_ON,
    ArtifactError,
    Manifest,
    find_model,
    some,
    write_json,
)
from ml.background import LEAST_SLIDES
from ml.datasets import DataError, Example, Pixels, find_examples, hold_out, load, read_slides
from ml.decisions import Thresholds
from ml.engines import ENGINES, cores
from ml.images import InputForm
from ml.predictor import Predictor

if TYPE_CHECKING:
    from ml.measurement import Measured


class Command(BaseCommand):
    help = (
        "Measure a model on a folder with Parasitized/ and Uninfected/, or a file of predictions "
        "that training, cross-validation or this command wrote."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        cells = parser.add_mutually_exclusive_group(required=True)
        cells.add_argument("--data", type=Path, metavar="DIR")
        cells.add_argument(
            "--predictions", type=Path, metavar="FILE", help="A predictions.csv; no model is run."
        )
        parser.add_argument(
            "--model", metavar="NAME_OR_DIR", help="A trained model; by default the shipped one."
        )
        parser.add_argument("--slides", type=Path, metavar="FILE", help="Only the slides listed.")
        parser.add_argument("--groups", type=Path, metavar="FILE", help="CSV of file, slide.")
        parser.add_argument(
            "--set-aside",
            type=Path,
            nargs="+",
            default=[],
            metavar="FILE",
            help="Lists of file names; the figures without them are given as well.",
        )
        parser.add_argument(
            "--output", type=Path, metavar="DIR", help="For metrics.json, predictions and plots."
        )
        parser.add_argument(
            "--keep-background",
            action="store_true",
            help="Keep what the model says of the healthy cells of these slides beside it: what "
            "is subtracted from the counts of fields. Use slides that it was not trained on.",
        )
        parser.add_argument("--engine", choices=ENGINES, default="auto")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["keep_background"] and options["predictions"]:
            raise CommandError("--keep-background needs --data: it belongs to one model.")
        try:
            name, measured, thresholds = self._measured(options)
            rest = self._rest(measured, options["set_aside"])
        except (ArtifactError, DataError) as error:
            raise CommandError(str(error)) from None
        result: dict[str, Any] = {"model": name, **measured.figures(thresholds)}
        if measured.folds:
            result["folds"] = measured.by_fold()
        self._print(result, measured)
        if rest is not None:
            result["set_aside"] = rest.figures(thresholds)
            self._print_rest(result["set_aside"], len(measured.files) - len(rest.files))
        if options["keep_background"]:
            self._keep_background(measured, thresholds, find_model(options["model"]))
        if output := options["output"]:
            self._write(output, result, measured)

    def _keep_background(self, measured: "Measured", thresholds: Thresholds, model: Path) -> None:
        from ml.measurement import background_of

        background = background_of(measured.slide_counts(thresholds))
        if background is None:
            raise CommandError(
                f"A background needs the slide of every cell, {LEAST_SLIDES} slides with healthy "
                "cells, and infected cells."
            )
        try:
            write_json(model / BACKGROUND, background.as_dict())
        except OSError as error:
            raise CommandError(
                f"The background cannot be written to {model}: {error.strerror}."
            ) from None
        self.stdout.write(
            f"Background: {background.false_positives.mean:.2%} of healthy cells are called "
            f"parasitized, {background.sensitivity:.1%} of infected ones; kept in "
            f"{model / BACKGROUND}. manage.py prepare tells the site."
        )

    def _measured(self, options: dict[str, Any]) -> tuple[str, "Measured", Thresholds]:
        from ml.measurement import NO_BAND, measure, read_predictions

        if path := options["predictions"]:
            return str(path), read_predictions(path), NO_BAND
        predictor = Predictor.load_checked(find_model(options["model"]), options["engine"])
        manifest = predictor.manifest
        examples = self._examples(options)
        if options["keep_background"]:
            _require_unknown(examples, manifest)
        pixels = self._pixels(examples, manifest)
        return manifest.name, measure(predictor, pixels), manifest.thresholds

    def _rest(self, measured: "Measured", lists: list[Path]) -> "Measured | None":
        from ml.measurement import read_files

        named = set().union(*(read_files(path) for path in lists))
        return measured.without(named) if lists else None

    def _print(self, result: dict[str, Any], measured: "Measured") -> None:
        from ml.evaluation import report, report_folds

        self.stdout.write(f"{result['model']}\n\n{report(result)}")
        if "folds" in result:
            self.stdout.write(report_folds(result["folds"]))
        if measured.slides is None:
            self.stderr.write("Not every file name tells its slide: intervals are by image.")

    def _print_rest(self, result: dict[str, Any], set_aside: int) -> None:
        from ml.evaluation import report

        self.stdout.write(f"Without the {set_aside:,} cells that are listed\n\n{report(result)}")

    def _examples(self, options: dict[str, Any]) -> list[Example]:
        examples = find_examples(options["data"], options["groups"])
        if options["slides"]:
            _, examples = hold_out(examples, read_slides(options["slides"]))
        if not examples:
            raise DataError(f"{options['slides']} names no slide.")
        return examples

    def _pixels(self, examples: list[Example], form: InputForm) -> Pixels:
        pixels = load(examples, form, threads=cores())
        for path, reason in pixels.unreadable:
            self.stderr.write(f"Left out {path}: {reason}")
        return pixels

    def _write(self, output: Path, result: dict[str, Any], measured: "Measured") -> None:
        from ml import plots
        from ml.measurement import PREDICTIONS, write_predictions

        try:
            plots.save_plots(output, result, measured.probability, measured.truth)
            write_predictions(output / PREDICTIONS, measured)
            write_json(output / METRICS, result)
        except OSError as error:
            raise CommandError(
                f"The figures cannot be written to {output}: {error.strerror}."
            ) from None


def _require_unknown(examples: list[Example], manifest: Manifest) -> None:
    """What a model was trained on it reads too well, and its thresholds suit what chose them."""
    known = manifest.slides(*TRAINED_ON, "validation") & {e.slide or "" for e in examples}
    if known:
        raise DataError(
            f"A background is measured on slides that the model does not know: it was trained on "
            f"{len(known):,} of these, or they chose its thresholds ({some(known)}). Name others "
            "with --slides; where these are others of the same name, rename them with --groups."
        )
