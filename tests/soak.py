"""The long form of what the suite tries briefly: python -m tests.soak [--files N] [--rounds N]."""

import argparse
import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "malariaweb.settings")
django.setup()

from tests import bad_input, faults  # noqa: E402  (their models need the setup)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="bad and good ones uploaded")
    parser.add_argument("--rounds", type=int, default=200, help="faults while uploads go on")
    given = parser.parse_args()
    wells = []
    for trial, number in ((bad_input.soak, given.files), (faults.soak, given.rounds)):
        if number:
            report, well = trial(number)
            sys.stdout.write(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
            wells.append(well)
    sys.exit(not all(wells))


if __name__ == "__main__":
    main()
