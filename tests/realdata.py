"""The real images that some tests use in addition, where they are present."""

import os
from pathlib import Path

import pytest

from tests.servers import ROOT

FOLDER = Path(os.environ.get("MALARIA_DATA", ROOT.parent / "shared" / "data"))


def real_images(folder: str) -> list[Path]:
    """Sorted; skips the test where they are not on this machine."""
    files = sorted(path for path in (FOLDER / folder).rglob("*") if path.is_file())
    if not files:
        pytest.skip(f"{FOLDER / folder} is not here: the folder of data sets is MALARIA_DATA")
    return files
