"""Memory of the web process and of a worker after work, the start of a worker, the size of an
installation.

    python -m benchmarks.footprint [CELL_OR_FOLDER...] [--install]

`--install` installs requirements-serve.txt into a new environment (some minutes) and weighs it.
Memory is the proportional set size: what processes share is divided among them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.cells import cells
from benchmarks.figures import Figure, parser, show
from ml.drawing import draw_field
from tests.servers import ROOT, Site, wait_for

CELLS, FIELDS, AT_ONCE = 256, 4, 32
PAGES = ("/today/", "/slides/", "/slides/new/", "/model/", "/notifications/", "/laboratories/")


def megabytes(process: psutil.Process) -> float:
    """With all its children."""
    every = [process, *process.children(recursive=True)]
    return sum(map(own_megabytes, every))


def own_megabytes(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss / 1e6)


def use(site: Site, files: list[Path], folder: Path) -> None:
    """Cells and fields are read, pages are seen."""
    os.environ.update(site.env)
    import django

    django.setup()
    from tests.visitors import Visitor

    visitor = Visitor(site)
    path = visitor.new_slide("S-1")
    for start in range(0, len(files), AT_ONCE):
        part = files[start : start + AT_ONCE]
        visitor.upload(path, {file.name: file.read_bytes() for file in part})
    for seed in range(FIELDS):
        field = folder / f"field-{seed}.jpg"
        draw_field(seed, cells=110).save(field)
        visitor.upload(path, {field.name: field.read_bytes()})
    slide = path.removesuffix("images/")
    wait_for(lambda: "every" not in visitor.get(f"{slide}results/").text, "the reading")
    for page in (slide, *PAGES):
        assert visitor.get(page).status == 200


def start_of_worker(site: Site) -> float:
    """Until it has its model and takes work."""
    start = time.perf_counter()
    site.start_worker()
    return time.perf_counter() - start


def installed(folder: Path) -> float:
    """What installing adds to an empty environment."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    empty = weight(folder)
    command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]
    subprocess.run([folder / "bin/python", *command, ROOT / "requirements-serve.txt"], check=True)
    return weight(folder) - empty


def weight(folder: Path) -> float:
    done = subprocess.run(["du", "-sb", folder], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0]) / 1e6


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "site").mkdir()
        site = Site(folder / "site")
        try:
            site.prepare()
            web = psutil.Process(site.start_web().pid)
            starts = []
            for _ in range(options.passes):
                if site.workers:
                    site.kill_worker()
                starts.append(start_of_worker(site))
            worker = psutil.Process(site.workers[0].pid)
            use(site, cells(options.paths, CELLS, folder), folder)
            serving = max(map(own_megabytes, web.children()))
            yield Figure("web process", (serving,), "MB", most=120)
            yield Figure("  with its parent and a decoder", (megabytes(web),), "MB")
            yield Figure("worker", (megabytes(worker),), "MB", most=400)
            yield Figure("worker, until it is ready", tuple(starts), "s", most=2)
        finally:
            site.stop()
        if options.install:
            yield Figure("what serving installs", (installed(folder / "venv"),), "MB", most=600)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--install", action="store_true", help="also install and weigh it")
    options = made.parse_args()
    show(measured(options), options)


if __name__ == "__main__":
    main()
