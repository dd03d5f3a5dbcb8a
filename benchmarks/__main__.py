"""Every benchmark of speed and size, one after the other, each in a process of its own.

python -m benchmarks [CELL_OR_FOLDER...] [--training FOLDER] [--only NAME...] [--json FILE]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

MODULES = ("shell", "worker", "click", "footprint", "first_paint", "training")


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    made.add_argument("paths", nargs="*", type=Path, help="cells, or folders of them (else drawn)")
    made.add_argument("--training", type=Path, help="a folder of both classes (else drawn cells)")
    made.add_argument("--only", nargs="+", choices=MODULES, default=MODULES)
    made.add_argument("--json", type=Path, default=Path("runs/benchmarks.json"))
    options = made.parse_args()
    found = {}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            kept = Path(folder) / f"{name}.json"
            paths = map(str, paths_of(name, options))
            command = [sys.executable, "-m", f"benchmarks.{name}", *paths]
            subprocess.run([*command, "--json", str(kept)], check=True)
            found[name] = json.loads(kept.read_text())
            options.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write(f"All of it is in {options.json}.\n")


def paths_of(name: str, options: argparse.Namespace) -> list[Path]:
    """A training takes a folder of both classes; the others take cells of any."""
    if name != "training":
        return options.paths
    return [options.training] if options.training else []


if __name__ == "__main__":
    main()
