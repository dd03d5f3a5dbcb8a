"""Read images from the shell; needs neither database nor broker."""

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ml.artifact import ArtifactError, find_model
from ml.engines import ENGINES
from ml.field_reading import FieldReader
from ml.fields import Finder
from ml.predictor import Predictor
from ml.reading import Line, classify, is_unreadable, walk


class Command(BaseCommand):
    help = "Classify red cells and whole fields: a line for each image, in the order given."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "paths", nargs="+", metavar="PATH", help="Images and folders of images."
        )
        parser.add_argument(
            "--model", metavar="NAME_OR_DIR", help="A trained model; by default the shipped one."
        )
        parser.add_argument("--kind", choices=["auto", "cell", "field"], default="auto")
        parser.add_argument("--format", choices=["table", "jsonl"], default="table")
        parser.add_argument("--engine", choices=ENGINES, default="auto")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            predictor = Predictor.load_checked(find_model(options["model"]), options["engine"])
            reader = FieldReader(predictor, Finder.load())
        except ArtifactError as error:
            raise CommandError(str(error)) from None
        skipped: list[str] = []
        lines = classify(walk(options["paths"], skipped.append), reader, options["kind"])
        try:
            unreadable = self._show(lines, options["format"])
        except BrokenPipeError:  # the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        except KeyboardInterrupt:
            sys.exit(130)
        if skipped:
            self.stderr.write(f"Skipped {len(skipped)} hidden or system files.")
        if unreadable:
            self.stderr.write(f"{unreadable} could not be read; their lines say why.")
            sys.exit(1)

    def _show(self, lines: Iterable[Line], form: str) -> int:
        """Each line at once, for whoever reads along; returns how many files were unreadable."""
        unreadable = 0
        for line in lines:
            self.stdout.write(json.dumps(line) if form == "jsonl" else row(line))
            self.stdout.flush()
            unreadable += is_unreadable(line)
        return unreadable


def row(line: Line) -> str:
    decision = line["decision"] or line["kind"]
    probability = line["probability"]
    figure = "" if probability is None else f"{probability:.3f}"
    words = " ".join(line["reasons"]) or counts(line)
    return f"{decision:<12} {figure:>6}  {printable(line['path'])}  {words}".rstrip()


def counts(line: Line) -> str:
    """Of a field; a cell's answer needs no words."""
    if "cells" not in line:
        return ""
    counted, parasitized = line["cell_count"], line["parasitized_count"]
    apart = len(line["cells"]) - counted
    rest = f"; {apart:,} at the edge or rejected" if apart else ""
    return f"{parasitized:,} of {counted:,} red cells labelled parasitized{rest}"


def printable(path: str) -> str:
    """A row stays a row, whatever a file is called."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)
