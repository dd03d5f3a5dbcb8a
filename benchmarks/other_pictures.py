"""What a model makes of pictures, folder by folder: how many are rejected, uncertain, decided.

    python -m benchmarks.other_pictures FOLDER... [--model NAME_OR_DIR]

For folders of what is no red cell, the share that got no confident class is what counts; for
folders of red cells, the share rejected.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from ml.artifact import find_model
from ml.field_reading import FieldReader
from ml.fields import Finder
from ml.predictor import Predictor
from ml.reading import classify, is_unreadable, walk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--model", help="a trained model; by default the shipped one")
    options = parser.parse_args()
    reader = FieldReader(Predictor.load(find_model(options.model)), Finder.load())
    sys.stdout.write(f"{reader.predictor.manifest.name}\n")
    for folder in options.folders:
        lines = classify(walk([str(folder)], lambda path: None), reader, kind="cell")
        read = [line for line in lines if not is_unreadable(line)]
        decisions = Counter(line["decision"] for line in read)
        shares = ", ".join(f"{name} {count / len(read):.3f}" for name, count in decisions.items())
        sys.stdout.write(f"{folder}: {len(read):,} pictures: {shares}\n")


if __name__ == "__main__":
    main()
