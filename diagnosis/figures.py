"""What is known of a model version, in the shape its page shows. Anything may be missing."""

import re
from typing import Any, NamedTuple

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

from . import registry
from .models import ModelVersion

# Name in metrics.json → the word for people, and what it means.
FIGURES = {
    "accuracy": ("Accuracy", "of all cells labelled rightly"),
    "sensitivity": ("Sensitivity", "of parasitized cells found"),
    "specificity": ("Specificity", "of uninfected cells left alone"),
    "auc": ("AUC", "ranking of parasitized over uninfected"),
}
SETS = ("test", "validation")


class Figure(NamedTuple):
    word: str
    meaning: str
    value: float
    low: float | None
    high: float | None


def of(version: ModelVersion) -> dict[str, Any]:
    metrics, held_out = _measured(version.metrics)
    return {
        "version": version,
        "figures": [figure for name in FIGURES if (figure := _figure(metrics, name))],
        "confusion": metrics.get("confusion"),
        "cells": metrics.get("n"),
        "slides": metrics.get("slides"),
        "held_out": held_out,
        "note": metrics.get("note"),
        "invented": _invented(metrics),
        "trained_on": _trained_on(version),
        "card": _card(version),
    }


def _measured(metrics: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The figures themselves, which may lie under the name of the slides they were measured on."""
    if "accuracy" in metrics:
        return metrics, ""
    return next(((metrics[name], name) for name in SETS if metrics.get(name)), ({}, ""))


def _figure(metrics: dict[str, Any], name: str) -> Figure | None:
    if metrics.get(name) is None:
        return None
    low, high = (metrics.get("intervals") or {}).get(name) or (None, None)
    return Figure(*FIGURES[name], metrics[name], low, high)


def _invented(metrics: dict[str, Any]) -> float | None:
    """Of 1,000 uninfected cells, how many are called parasitized."""
    specificity = metrics.get("specificity")
    return None if specificity is None else 1000 * (1 - specificity)


def _trained_on(version: ModelVersion) -> dict[str, int]:
    """How many cells and slides the network learnt from."""
    part = (version.manifest.get("data") or {}).get("training") or {}
    cells = part.get("parasitized", 0) + part.get("uninfected", 0)
    return {"cells": cells, "slides": part.get("slides") or 0}


def _card(version: ModelVersion) -> SafeString:
    """The text that came with the model, without its title; HTML in it stays text."""
    try:
        text = (registry.folder_of(version) / "card.md").read_text()
    except OSError:
        return SafeString("")
    text = re.sub(r"\A# .*\n", "", text)
    text = re.sub(r"^## ", "### ", text, flags=re.M)
    return mark_safe(MarkdownIt("js-default").render(text))  # it escapes what is not Markdown
