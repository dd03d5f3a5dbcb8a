"""`classify` on a folder, beside the plain way and the bare engine.

    python -m benchmarks.shell [CELL_OR_FOLDER...] [--files N] [--passes N]

The whole command counts, from its start to its last line: Python, the model and its check included.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cells import cells
from benchmarks.figures import Figure, asked, at_least, in_turn, parser, ratios, show
from tests.servers import clean_environment

SEED_FILES = 150
FEW = 10
"""The memory of the command is compared over this part of the files."""


@dataclass(frozen=True)
class Run:
    first_line: float
    seconds: float
    megabytes: float
    """The most that was resident."""


def run(folder: Path, var: Path) -> Run:
    command = [sys.executable, "manage.py", "classify", str(folder), "--format", "jsonl"]
    start = time.perf_counter()
    environment = clean_environment(VAR=str(var))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout
    process.stdout.readline()
    first_line = time.perf_counter() - start
    for _ in process.stdout:
        pass
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Run(first_line, time.perf_counter() - start, used.ru_maxrss / 1000)


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        var = Path(name) / "var"
        files = cells(options.paths, options.files, Path(name))
        few = cells(options.paths, options.files // FEW, Path(name))
        runs: list[Run] = []

        def classify() -> float:
            runs.append(run(files[0].parent, var))
            return len(files) / runs[-1].seconds

        sides = in_turn(
            options.passes,
            lambda: asked("seed", *files[:SEED_FILES], "--repeat", 1)["images_per_second"],
            lambda: asked("engine")["images_per_second"],
            classify,
        )
        seed, bare, shell = zip(*sides, strict=True)
        small = run(few[0].parent, var)
    yield Figure("the plain way", seed, "cells/s")
    yield Figure("bare engine, onnxruntime", bare, "cells/s")
    yield Figure(f"classify, {len(files):,} files", shell, "cells/s")
    yield ratios("classify by the plain way", shell, seed, least=12)
    yield ratios("classify by the bare engine", shell, bare, least=0.7)
    yield Figure("classify, to the first line", tuple(r.first_line for r in runs), "s", most=1.5)
    yield Figure("classify, memory", tuple(r.megabytes for r in runs), "MB")
    yield ratios(f"classify, memory by that of {len(few):,} files",
                 [runs[-1].megabytes], [small.megabytes], most=1.1)  # fmt: skip


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--files", type=at_least(FEW), default=5000)
    options = made.parse_args()
    show(measured(options), options)


if __name__ == "__main__":
    main()
