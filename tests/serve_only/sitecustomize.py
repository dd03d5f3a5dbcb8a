"""On PYTHONPATH it hides from a process every package that is not among SERVE_ONLY's."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.metadata import packages_distributions
from typing import Any

KEPT = set(os.environ["SERVE_ONLY"].split())
FROM = packages_distributions()


class Hidden(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> None:
        distributions = FROM.get(name)
        if distributions and KEPT.isdisjoint(
            one.lower().replace("_", "-") for one in distributions
        ):
            raise ModuleNotFoundError(f"Serving installs no {name}.", name=name)


sys.meta_path.insert(0, Hidden())
