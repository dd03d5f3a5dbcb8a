"""What is installed is locked: the packages that are named, and all that these bring along."""

import re
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.servers import ROOT

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
    makefile = (ROOT / "Makefile").read_text()
    installs = re.findall(r"pip install .*", makefile)
    assert len(installs) == 3
    assert all(re.search(r"-r requirements-(serve|dev|audit)\.txt$", line) for line in installs)
