"""What is installed is locked: the packages that are named, and all that these bring along."""

import io
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ml.drawing import draw_cell, draw_field
from tests.servers import ROOT, wait_for
from tests.visitors import Visitor

FILES = ("requirements-serve.txt", "requirements.txt", "requirements-dev.txt")
BROUGHT_ALONG = "# What these bring along"
PACKAGE = r'[\w.-]+(\[[\w,-]+\])?==[\w.]+(; platform_system == "Linux")?'
LINE = rf"-r requirements(-\w+)?\.txt|{PACKAGE}"


def lines(name: str) -> list[str]:
    text = (ROOT / name).read_text()
    return [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]


def locked(name: str) -> dict[str, Requirement]:
    """With the files it includes."""
    found: dict[str, Requirement] = {}
    for line in lines(name):
        if included := re.fullmatch(r"-r (\S+)", line):
            found |= locked(included[1])
        else:
            wanted = Requirement(line)
            found[canonicalize_name(wanted.name)] = wanted
    return found


def brought_along(wanted: Requirement) -> list[Requirement]:
    """By the installed version, on this machine."""
    needs = map(Requirement, distribution(wanted.name).requires or [])
    extras = wanted.extras or {""}
    return [
        need
        for need in needs
        if not need.marker or any(need.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def needed(name: str) -> set[str]:
    """The named packages and, again and again, what these bring along."""
    top = (ROOT / name).read_text().split(BROUGHT_ALONG)[0]
    waiting = [Requirement(line) for line in top.splitlines() if "==" in line]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), tuple(sorted(wanted.extras)))
        if key not in seen:
            seen.add(key)
            waiting += brought_along(wanted)
    return {name for name, _ in seen}


@pytest.mark.parametrize("name", FILES)
def test_every_line_names_one_version(name):
    for line in lines(name):
        assert re.fullmatch(LINE, line), line


@pytest.mark.parametrize("name", FILES)
def test_all_that_comes_along_is_locked_too(name):
    assert needed(name) - set(locked(name)) == set()


@pytest.mark.parametrize("name", FILES)
def test_the_lock_is_what_is_installed(name):
    differing = {}
    for wanted in locked(name).values():
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            found = distribution(wanted.name).version.split("+")[0]
        except PackageNotFoundError:
            found = "not installed"
        if not wanted.specifier.contains(found, prereleases=True):
            differing[str(wanted)] = found
    assert differing == {}


def test_all_commands_install_from_a_lock():
    recipes = "\n".join(re.findall(r"^\t.*", (ROOT / "Makefile").read_text(), re.M))
    commands = [command.strip() for command in re.split(r"&&|\|\||;|\n", recipes)]
    installs = [one for one in commands if re.search(r"pip install |\$\((PIP|UV)\)", one)]
    assert len(installs) == 5
    lock = r"-r requirements-(serve|dev|audit)\.txt$|'\^uv==' requirements-dev\.txt\)\"$"
    assert all(re.search(lock, one) for one in installs)


def test_serving_weighs_little():
    parts = [file for name in locked(FILES[0]) for file in distribution(name).files or []]
    files = {Path(part.locate()) for part in parts}
    assert 200e6 < sum(file.stat().st_size for file in files if file.exists()) <= 600e6


def jpeg(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def test_a_site_does_its_work_with_what_serving_installs(live_stack):
    site = live_stack(
        start=False,
        PYTHONPATH=f"{ROOT / 'tests/serve_only'}",
        SERVE_ONLY=" ".join(locked(FILES[0])),
    )
    with pytest.raises(RuntimeError, match="This needs torch"):
        site.manage("shell", "-c", "import torch")
    ada = Visitor(site.start())
    images = ada.new_slide("S-1")
    pictures = {"cell.jpg": draw_cell(1, True), "field.jpg": draw_field(1, cells=40)}
    answer = ada.upload(images, {name: jpeg(picture) for name, picture in pictures.items()})
    assert all(receipt["image"] for receipt in answer.json["receipts"])
    slide = images.removesuffix("images/")
    wait_for(lambda: "All images read" in ada.get(slide).text, "the reading", log=site.log)
    assert ada.get(f"{slide}report.pdf").body.startswith(b"%PDF")
    assert ada.get(f"{slide}report.json").json["resourceType"] == "Bundle"
