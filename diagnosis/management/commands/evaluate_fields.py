"""Measure how well whole fields are read, on annotated ones."""

from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from ml.artifact import METRICS, ArtifactError, find_model, write_json
from ml.engines import ENGINES
from ml.field_reading import FieldReader
from ml.fields import Finder
from ml.predictor import Predictor

if TYPE_CHECKING:
    from ml.field_evaluation import FieldResults


class Command(BaseCommand):
    help = (
        "Read annotated fields and measure the red cells found, their counts, and the sensitivity "
        "for parasitized ones against the false positives in a field."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fields", type=Path, nargs="+", required=True, metavar="DIR")
        parser.add_argument("--blocks", type=int, default=10)
        parser.add_argument(
            "--test-blocks",
            type=int,
            nargs="+",
            metavar="N",
            help="Only these blocks of fields in a row, as in cut_cells; by default all of them.",
        )
        parser.add_argument(
            "--model", metavar="NAME_OR_DIR", help="A trained model; by default the shipped one."
        )
        parser.add_argument(
            "--finder", type=Path, metavar="DIR", help="By default the shipped one."
        )
        parser.add_argument(
            "--output", type=Path, metavar="DIR", help="For metrics.json, the curve and its plot."
        )
        parser.add_argument("--engine", choices=ENGINES, default="auto")

    def handle(self, *args: Any, **options: Any) -> None:
        from ml.datasets import DataError
        from ml.field_evaluation import evaluate_fields, report

        results = {}
        try:
            chosen = self._chosen(options)
            predictor = Predictor.load_checked(find_model(options["model"]), options["engine"])
            reader = FieldReader(predictor, Finder.load(options["finder"]))
            self.stdout.write(f"{predictor.manifest.name}, finder {reader.finder.name}\n\n")
            for folder, fields in chosen.items():
                results[folder.name] = evaluate_fields(reader, folder, fields)
                self.stdout.write(report(folder.name, results[folder.name].figures()))
                self.stdout.flush()
        except (ArtifactError, DataError) as error:
            raise CommandError(str(error)) from None
        if options["output"]:
            self._write(options["output"], reader, results)

    def _chosen(self, options: dict[str, Any]) -> dict[Path, list[Any]]:
        """The fields of each folder that are asked for."""
        from ml.annotations import of_blocks, read_annotations

        folders, count = options["fields"], options["blocks"]
        if len({folder.name for folder in folders}) < len(folders):
            raise CommandError("Two folders have one name: their figures could not be told apart.")
        return {f: of_blocks(read_annotations(f), count, options["test_blocks"]) for f in folders}

    def _write(self, output: Path, reader: FieldReader, results: "dict[str, FieldResults]") -> None:
        from ml.field_evaluation import write_curves
        from ml.plots import plot_free_response

        curves = {name: found.curve for name, found in results.items() if found.curve}
        figures = {
            "model": reader.predictor.manifest.name,
            "finder": reader.finder.name,
            "folders": {name: found.figures() for name, found in results.items()},
        }
        try:
            output.mkdir(parents=True, exist_ok=True)
            write_json(output / METRICS, figures)
            write_curves(output / "free_response.csv", curves)
            plot_free_response(output / "free_response.png", curves)
        except OSError as error:
            raise CommandError(
                f"The figures cannot be written to {output}: {error.strerror}."
            ) from None
