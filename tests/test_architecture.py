"""The arrows of the house: malariaweb → diagnosis → ml, and who never loads what."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT, clean_environment

ENGINES = {"torch", "torchvision", "onnxruntime", "openvino"}
PDF = {"reportlab"}
ARRAYS = {"numpy", "cv2", "scipy", "sklearn", "matplotlib"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Top-level packages, wherever in the file they are imported."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("ml", {"django", "celery", "diagnosis", "malariaweb"}), ("diagnosis", {"malariaweb"})],
)
def test_arrows_point_one_way(package, forbidden):
    assert modules(package)
    against = {str(path): forbidden & set(imported(path)) for path in modules(package)}
    assert not {path: names for path, names in against.items() if names}


def loaded(folder: Path, program: str) -> set[str]:
    """Top-level packages that a fresh process has loaded after running a program."""
    show = "\nimport json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", program + show],
        cwd=ROOT,
        env=clean_environment(VAR=str(folder)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


WEB = """
import malariaweb.wsgi
from django.test import Client
from django.urls import get_resolver
assert get_resolver().url_patterns
assert Client().get("/accounts/login/", headers={"host": "localhost"}).status_code == 200
"""

WORKER = """
import django, os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "malariaweb.settings")
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("createcachetable", verbosity=0)
"""


def test_the_web_process_loads_no_engine_no_arrays_and_no_pdf_library(tmp_path):
    packages = loaded(tmp_path, WORKER + WEB)
    assert "diagnosis" in packages
    assert not packages & (ENGINES | ARRAYS | PDF)


def test_a_worker_on_the_default_engine_loads_no_torch(tmp_path, trained_model):
    packages = loaded(
        tmp_path,
        WORKER
        + f"""
from diagnosis import registry, tasks
registry.register({str(trained_model)!r}, activate=True)
tasks.load_active_model()
""",
    )
    assert "onnxruntime" in packages
    assert not packages & {"torch", "torchvision", "openvino"}
