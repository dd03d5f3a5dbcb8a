"""What is known of a model version, in the shape its page shows. Anything may be missing."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from markdown_it import MarkdownIt

from ml import artifact
from ml.artifact import CARD, REJECTION
from ml.card import FIGURES as WORDS

from . import phrases, registry
from .models import ModelVersion
from .words import between, number, percent

# Name in metrics.json → the word for people, and what it means.
FIGURES = {
    "accuracy": (gettext_noop("Accuracy"), gettext_noop("of all cells labelled rightly")),
    "sensitivity": (gettext_noop("Sensitivity"), gettext_noop("of parasitized cells found")),
    "specificity": (gettext_noop("Specificity"), gettext_noop("of uninfected cells left alone")),
    "auc": (gettext_noop("AUC"), gettext_noop("ranking of parasitized over uninfected")),
}
SETS = ("test", "validation")
SHARES = {
    "accuracy",
    "sensitivity",
    "specificity",
    "coverage",
    "accuracy_when_confident",
    "rejected",
}
PLOTS = {
    "roc.png": gettext_noop("How sensitivity is paid for with specificity"),
    "reliability.png": gettext_noop("Probabilities against what was true"),
    "confusion.png": gettext_noop("Where it was right and wrong"),
    "curves.png": gettext_noop("How training went, epoch by epoch"),
}


class Figure(NamedTuple):
    word: str
    meaning: str
    value: float
    low: float | None
    high: float | None


class Value(NamedTuple):
    """One figure of a table, as people read it."""

    text: str = "–"
    interval: str = ""


def of(version: ModelVersion) -> dict[str, Any]:
    held_out, metrics = measured(version)
    missing = registry.absence(version)
    band = registry.band_of(version)
    return {
        "missing": missing,
        "band": band,
        "thresholds": band.thresholds if band else version.own_thresholds,
        "plots": [] if missing else _plots(version),
        "version": version,
        "figures": [figure for name in FIGURES if (figure := _figure(metrics, name))],
        "confusion": metrics.get("confusion"),
        "cells": metrics.get("n"),
        "slides": metrics.get("slides"),
        "held_out": held_out,
        "note": metrics.get("note"),
        "invented": _invented(metrics),
        "trained_on": _trained_on(version),
        "rejects": REJECTION in (version.manifest.get("files") or {}),
        "card": "" if missing else _card(version),
    }


def parts(version: ModelVersion) -> dict[str, dict[str, Any]]:
    """The figures by the name of the slides they were measured on, those of test slides first."""
    if "accuracy" in version.metrics:
        return {"": version.metrics}
    return {name: version.metrics[name] for name in SETS if version.metrics.get(name)}


def measured(version: ModelVersion) -> tuple[str, dict[str, Any]]:
    """The first of them, by its name; both are empty where there are none."""
    return next(iter(parts(version).items()), ("", {}))


def table(columns: Sequence[dict[str, Any]]) -> list[tuple[str, str, list[Value]]]:
    """Name, word and a value for each column, of all figures that any of them has."""
    names = [name for name in WORDS if any(column.get(name) is not None for column in columns)]
    return [
        (name, phrases.shown(WORDS[name]), [value(column, name) for column in columns])
        for name in names
    ]


def row(version: ModelVersion) -> dict[str, Any]:
    """A version among others."""
    held_out, metrics = measured(version)
    since = version.activations.first() if version.is_active else None
    return {
        "version": version,
        "since": since.at if since else None,
        "held_out": held_out,
        "values": [value(metrics, name) for name in FIGURES],
    }


def value(metrics: dict[str, Any], name: str) -> Value:
    if metrics.get(name) is None:
        return Value()
    interval = (metrics.get("intervals") or {}).get(name)
    ends = between(*(written(name, end) for end in interval)) if interval else ""
    return Value(written(name, metrics[name]), ends)


def written(name: str, figure: float) -> str:
    return percent(figure) if name in SHARES else number(figure, ".3f")


def plot(version: ModelVersion, name: str) -> Path | None:
    """A picture that came with the model, if this host has it unaltered."""
    path = registry.folder_of(version) / name
    expected = (version.manifest.get("files") or {}).get(name)
    if not expected or path.suffix != ".png":
        return None
    try:
        return path if artifact.digest(path) == expected else None
    except OSError:
        return None


def _plots(version: ModelVersion) -> list[tuple[str, str]]:
    return [(name, _(words)) for name, words in PLOTS.items() if plot(version, name)]


def _figure(metrics: dict[str, Any], name: str) -> Figure | None:
    if metrics.get(name) is None:
        return None
    low, high = (metrics.get("intervals") or {}).get(name) or (None, None)
    word, meaning = FIGURES[name]
    return Figure(_(word), _(meaning), metrics[name], low, high)


def _invented(metrics: dict[str, Any]) -> float | None:
    """Of 1,000 uninfected cells, how many are called parasitized."""
    specificity = metrics.get("specificity")
    return None if specificity is None else 1000 * (1 - specificity)


def _trained_on(version: ModelVersion) -> dict[str, int]:
    """How many cells and slides the network learnt from, and how many cells of elsewhere."""
    part = (version.manifest.get("data") or {}).get("training") or {}
    cells = part.get("parasitized", 0) + part.get("uninfected", 0)
    others = (version.manifest.get("data") or {}).get("others") or {}
    elsewhere = sum(counts.get("images", 0) for counts in others.values())
    return {"cells": cells, "slides": part.get("slides") or 0, "elsewhere": elsewhere}


def _card(version: ModelVersion) -> SafeString:
    """The text that came with the model, without its title; HTML in it stays text."""
    try:
        text = (registry.folder_of(version) / CARD).read_text()
    except OSError:
        return SafeString("")
    text = re.sub(r"\A# .*\n", "", text)
    text = re.sub(r"^## ", "### ", text, flags=re.M)
    # The parser escapes what is not Markdown.
    return mark_safe(MarkdownIt("js-default").render(text))  # nosec B308 B703
