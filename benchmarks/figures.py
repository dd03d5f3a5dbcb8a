"""What a benchmark found: a row for each figure, printed as one table and kept as JSON."""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.conditions import conditions

UNITS = {"x": "{:.2f} x", "%": "{:.0%}", "s": "{:.2f} s", "ms": "{:.0f} ms", "MB": "{:.0f} MB"}


@dataclass(frozen=True)
class Figure:
    """The median of `passes`, and what is asked of it: `least` or `most`."""

    name: str
    passes: tuple[float, ...]
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.passes)

    @property
    def wanted(self) -> str:
        if self.least is not None:
            return f"≥ {self.shown(self.least)}"
        return "" if self.most is None else f"≤ {self.shown(self.most)}"

    @property
    def held(self) -> str:
        if not self.wanted:
            return ""
        low, high = self.least or 0.0, float("inf") if self.most is None else self.most
        return "yes" if low <= self.value <= high else "no"

    def shown(self, value: float) -> str:
        return UNITS.get(self.unit, "{:,.0f} " + self.unit).format(value)

    def row(self) -> str:
        spread = f"{self.shown(min(self.passes))} to {self.shown(max(self.passes))}"
        apart = spread if len(self.passes) > 1 else ""
        return (
            f"{self.name:58} {self.shown(self.value):>14} {apart:30} {self.wanted:12} {self.held}"
        )


def ratios(name: str, over: Sequence[float], under: Sequence[float], **wanted: float) -> Figure:
    """Pass by pass: what was measured one after the other is compared."""
    pairs = zip(over, under, strict=True)
    return Figure(name, tuple(a / b for a, b in pairs), "x", **wanted)


def parser(words: str | None) -> argparse.ArgumentParser:
    """For a benchmark that takes files of single cells."""
    made = argparse.ArgumentParser(description=(words or "").splitlines()[0])
    made.add_argument("paths", nargs="*", type=Path, help="cells, or folders of them (else drawn)")
    made.add_argument(
        "--passes", type=at_least(1), default=3, help="how often each figure is measured"
    )
    made.add_argument("--json", type=Path, help="also write the figures into this file")
    return made


def at_least(least: int) -> Callable[[str], int]:
    """For argparse: fewer are refused in words."""

    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"at least {least} are needed")
        return int(text)

    return number


def show(figures: Iterable[Figure], options: argparse.Namespace) -> None:
    """Each row as soon as it is known."""
    found = []
    for figure in figures:
        sys.stdout.write(figure.row().rstrip() + "\n")
        sys.stdout.flush()
        found.append(asdict(figure) | {"value": figure.value, "held": figure.held})
    said = conditions()
    sys.stdout.write(", ".join(f"{name} {value}" for name, value in said.items()) + "\n")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"conditions": said, "figures": found}, indent=2) + "\n")


def asked(module: str, *arguments: object) -> dict[str, Any]:
    """What another benchmark prints, in a process of its own: no threads of one beside another."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def in_turn(passes: int, *sides: Callable[[], float]) -> Iterator[tuple[float, ...]]:
    """Each side once a pass: what the machine does meanwhile meets all of them alike."""
    for _ in range(passes):
        yield tuple(side() for side in sides)
