import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.templatetags.static import static
from django.test import Client

from malariaweb.static import StaticStorage
from tests.servers import ROOT

ICONS = "diagnosis/icons.svg"


@pytest.fixture
def collected(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    source = tmp_path / "source"
    source.mkdir()
    (source / "page.css").write_text("body { color: black }\n" * 50)
    (source / "diagnosis").mkdir()
    (source / "diagnosis/one.js").write_text('import { two } from "./two.js";\n')
    (source / "diagnosis/two.js").write_text("export const two = 2;\n")
    settings.STATICFILES_DIRS = [source]
    call_command("collectstatic", interactive=False, verbosity=0)
    return settings.STATIC_ROOT


def test_before_collecting_names_are_plain():
    assert static("diagnosis/page.css") == "/static/diagnosis/page.css"


def test_collected_files_are_named_by_their_content_and_compressed(collected):
    url = StaticStorage(location=str(collected), base_url="/static/").url("page.css")
    name = url.removeprefix("/static/")
    assert name.startswith("page.")
    assert name != "page.css"
    assert (collected / f"{name}.br").exists()
    assert (collected / f"{name}.gz").exists()


def test_a_module_imports_others_by_their_hashed_names(collected):
    storage = StaticStorage(location=str(collected), base_url="/static/")
    one, two = (storage.url(f"diagnosis/{name}.js").rpartition("/")[2] for name in ("one", "two"))
    assert two != "two.js"
    assert f'from "./{two}"' in (collected / "diagnosis" / one).read_text()


def test_a_file_added_since_keeps_its_plain_name(collected):
    storage = StaticStorage(location=str(collected), base_url="/static/")
    assert storage.url("new.css") == "/static/new.css"


def names_in_templates():
    pattern = re.compile(r"{% static ['\"]([^'\"]+)['\"]")
    for template in sorted((ROOT / "templates").rglob("*.html")):
        yield from ((template.name, name) for name in pattern.findall(template.read_text()))


def test_every_file_that_a_template_names_exists():
    used = set(names_in_templates())
    assert used
    assert [(template, name) for template, name in used if not finders.find(name)] == []


def icons_in(template):
    return set(re.findall(r'{% icon "(\w+)"', template.read_text()))


def test_every_icon_that_a_template_names_is_drawn():
    drawn = set(re.findall(r'<symbol id="(\w+)"', Path(finders.find(ICONS)).read_text()))
    used = map(icons_in, (ROOT / "templates").rglob("*.html"))
    assert set().union(*used) <= drawn


@pytest.mark.parametrize("name", ["review", "reading", "field_opinion"])
def test_what_takes_something_back_turns_back(name):
    icons = icons_in(ROOT / f"templates/diagnosis/{name}.html")
    assert "undo" in icons
    assert "retry" not in icons


@pytest.mark.parametrize(("deed", "icon"), [("undo", "undo"), ("redo", "retry")])
def test_undo_turns_back_and_redo_forth(deed, icon):
    page = (ROOT / "templates/diagnosis/field.html").read_text()
    (button,) = re.findall(rf"<button[^\n]* data-{deed}[^\n]*", page)
    assert f'{{% icon "{icon}" %}}' in button


def test_static_files_are_served_before_they_are_collected():
    name = next(name for _, name in names_in_templates() if name.endswith(".css"))
    answer = Client().get(static(name))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/css")
