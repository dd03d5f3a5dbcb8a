"""The bare engine: the shipped model over ready tensors, the limit of all that reads cells.

python -m benchmarks.engine [--engine onnxruntime|openvino|torch] [--threads N] [--seconds N]
"""

import argparse
import json
import sys
import time

import numpy as np

from benchmarks.conditions import conditions
from ml.artifact import find_model, read_manifest
from ml.engines import ENGINES, cores, load_engine
from ml.reading import CHUNK


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, default="onnxruntime")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    path = find_model(None)
    size = read_manifest(path).image_size
    engine = load_engine(options.engine, path, options.threads)
    batch = np.random.default_rng(0).normal(size=(CHUNK, 3, size, size)).astype(np.float32)
    engine(batch)
    batches, start = 0, time.perf_counter()
    while time.perf_counter() - start < options.seconds:
        engine(batch)
        batches += 1
    rate = CHUNK * batches / (time.perf_counter() - start)
    figures = {"images_per_second": round(rate, 1), "threads": options.threads}
    sys.stdout.write(json.dumps(figures | conditions(), indent=2) + "\n")


if __name__ == "__main__":
    main()
