"""What the README says beside its commands: settings, links, names."""

import json
import re
import subprocess
import sys

import pytest

from tests.servers import ROOT, clean_environment, procfile
from tests.test_readme import FENCE, README, RUN
from tests.test_settings import names_read

PROSE = FENCE.sub("", README)
EXAMPLE = (ROOT / ".env.example").read_text()
SETTINGS = dict(re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \| (.+?) \|", PROSE, re.M))
DEFAULTS = {name: cell[1:-1] for name, cell in SETTINGS.items() if re.fullmatch("`[^`]+`", cell)}
LINKS = re.findall(r"\]\(([^)\s]+)\)", PROSE)
COMMANDS = [line for block in RUN for line in block.text.splitlines()]

CHANGED_BY = """
import json, os, runpy, sys
def settings(**given):
    os.environ.clear()
    os.environ.update(own | given)
    values = runpy.run_path("malariaweb/settings.py")
    return {name: repr(value) for name, value in values.items() if name.isupper()}
own, asked = dict(os.environ), json.loads(sys.argv[1])
plain = settings()
print(json.dumps([n for n, v in asked.items() if settings(**{n: v}) != plain]))
"""


def python(program: str, *arguments: str, **settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=clean_environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_table_lists_every_variable_and_no_other():
    assert set(SETTINGS) == names_read()


def test_a_variable_set_to_its_default_changes_nothing(tmp_path):
    """VAR aside, so that nothing is written here: commands that are run name files in it."""
    asked = DEFAULTS | {"VAR": str(tmp_path)}
    assert len(asked) > 10
    assert json.loads(python(CHANGED_BY, json.dumps(asked), VAR=str(tmp_path))) == []
    assert json.loads(python(CHANGED_BY, '{"PORT": "1"}', VAR=str(tmp_path))) == ["PORT"]


def test_the_example_shows_the_same_defaults():
    shown = dict(re.findall(r"^#([A-Z]\w*)=(.*)$", EXAMPLE, re.M))
    assert {name: shown[name] for name in DEFAULTS} == DEFAULTS


def test_the_example_is_understood_when_all_of_it_is_used(tmp_path):
    lines = re.findall(r"^#((?!VAR|ENV_FILE)[A-Z]\w*=.*)$", EXAMPLE, re.M)
    file = tmp_path / "env"
    file.write_text("\n".join(lines))
    program = "from malariaweb import settings; print(settings.SITE_URL)"
    used = python(program, ENV_FILE=str(file), VAR=str(tmp_path))
    assert used == "https://malaria.example.org\n"


@pytest.mark.parametrize("link", [link for link in LINKS if not link.startswith("http")])
def test_links_lead_somewhere(link):
    path, _, anchor = link.partition("#")
    assert not path or (ROOT / path).is_file()
    headings = re.findall(r"^#+ (.+)$", PROSE, re.M)
    anchors = [re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings]
    assert not anchor or anchor in anchors


def test_every_management_command_is_explained():
    folder = ROOT / "diagnosis" / "management" / "commands"
    commands = {path.stem for path in folder.glob("[a-z]*.py")}
    assert "train_model" in commands
    assert commands == {name for name in commands if re.search(rf"\b{name}\b", README)}


def test_words_in_italics_stand_on_the_pages():
    sources = [*ROOT.glob("templates/**/*.html"), *ROOT.glob("diagnosis/**/*.py")]
    pages = "\n".join(path.read_text() for path in sources)
    words = re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", PROSE)
    assert "New slide" in words
    assert [word for word in words if word not in pages] == []


def test_services_run_what_the_procfile_and_make_run():
    for name in ("web", "worker"):
        assert f".venv/bin/{' '.join(procfile(name))}" in COMMANDS
    started = re.search(r"^ExecStart=/srv/malariaweb/\.venv/bin/(.+)$", README, re.M)
    assert started
    assert f"$(BIN)/{started[1]}\n" in (ROOT / "Makefile").read_text()


def test_systemd_does_not_give_the_service_up():
    """It does after five starts in ten seconds; a database may need longer after a power cut."""
    [seconds] = re.findall(r"^RestartSec=(\d+)$", README, re.M)
    assert 4 * int(seconds) > 10
