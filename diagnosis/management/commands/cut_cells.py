"""Cut the cells out of annotated fields, into folders that training and measuring take."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = (
        "Cut every whole red cell out of annotated fields. Fields in a row stay together: of the "
        "blocks, those named go to OUTPUT/test, the rest to OUTPUT/training, each with "
        "Parasitized/, Uninfected/ and a groups.csv of file and field."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--fields", type=Path, required=True, metavar="DIR")
        parser.add_argument("--output", type=Path, required=True, metavar="DIR")
        parser.add_argument("--blocks", type=int, default=10)
        parser.add_argument("--test-blocks", type=int, nargs="*", default=[], metavar="N")
        parser.add_argument(
            "--margin",
            type=float,
            nargs=2,
            default=(0.0, 0.35),
            metavar=("LEAST", "MOST"),
            help="Around a cell for training, as a share of its size; for testing it is 0.1.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from ml.annotations import read_annotations
        from ml.artifact import ArtifactError, writing
        from ml.cutting import TEST_MARGIN, write_cells
        from ml.datasets import DataError

        output, count = options["output"], options["blocks"]
        tested = set(options["test_blocks"])
        margins = {"training": tuple(options["margin"]), "test": TEST_MARGIN}
        try:
            parts = _parts(read_annotations(options["fields"]), count, tested)
            with writing(output.resolve()) as folder:
                written = {
                    part: write_cells(options["fields"], fields, folder / part, margins[part])
                    for part, fields in parts.items()
                    if fields
                }
        except (ArtifactError, DataError) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"The cells cannot be written to {output}: {error}.") from None
        for part, counts in written.items():
            self.stdout.write(f"{output / part}: {counts}")


def _parts(fields: list[Any], count: int, tested: set[int]) -> dict[str, list[Any]]:
    from ml.annotations import of_blocks

    if not tested:
        return {"training": fields}
    rest = set(range(1, count + 1)) - tested
    return {"training": of_blocks(fields, count, rest), "test": of_blocks(fields, count, tested)}
