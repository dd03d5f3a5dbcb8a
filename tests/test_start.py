import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from diagnosis.models import Membership, Role
from tests.servers import ROOT, Site, wait_for

PASSWORD = re.compile(r"password +(\S+)")


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    for pid in processes_of(site):
        os.kill(pid, signal.SIGKILL)


def processes_of(site: Site) -> list[int]:
    """Every process on this machine that works on the site's VAR."""
    mark = f"VAR={site.var}\0".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found


def start(site: Site) -> subprocess.Popen[bytes]:
    with site.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "manage.py", "start"],
            cwd=ROOT,
            env=site.env | {"PYTHONUNBUFFERED": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_start_runs_the_site_until_ctrl_c_whoever_is_killed_meanwhile(site):
    process = start(site)
    wait_for(lambda: site.answers() and site.said("ready."), "the site", log=site.log)
    text = site.log.read_text()
    assert f"http://localhost:{site.port}" in text
    assert len(PASSWORD.findall(text)) == 1
    assert re.search(r"/static/\S+\.[0-9a-f]{12}\.css", site.get("/accounts/login/"))

    worker = next(pid for pid in processes_of(site) if b"-A\0malariaweb\0worker" in command(pid))
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: site.said("ready.") == 2, "the next worker", log=site.log)
    assert site.answers()

    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert processes_of(site) == []
    assert site.log.read_text().rstrip().endswith("The site has stopped.")
    prepare_again(site)


def test_ctrl_c_before_the_site_runs_is_no_fault(site):
    process = start(site)
    wait_for((site.var / "db.sqlite3").exists, "the preparation", log=site.log)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 1
    assert "Traceback" not in site.log.read_text()
    assert site.log.read_text().rstrip().endswith("Stopped.")


def prepare_again(site):
    manifest = site.var / "static" / "staticfiles.json"
    made = manifest.stat().st_mtime_ns
    assert list(manifest.parent.rglob("*.css.br"))
    assert not PASSWORD.search(site.manage("prepare"))
    assert manifest.stat().st_mtime_ns == made


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_busy_port_is_said_in_one_sentence(site):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RuntimeError) as failure:
            site.manage("start", PORT=str(port))
    assert f"Port {port} is in use by another program" in str(failure.value)
    assert str(failure.value).strip().count("\n") == 0
    assert not (site.var / "db.sqlite3").exists()


def test_a_database_out_of_reach_is_said_in_words(site):
    url = f"postgres://nobody@127.0.0.1:{site.port}/nothing"
    with pytest.raises(RuntimeError, match="The database cannot be used") as failure:
        site.manage("prepare", DATABASE_URL=url)
    assert "Traceback" not in str(failure.value)


@pytest.mark.django_db
def test_the_first_account_has_a_laboratory_and_is_made_once(capsys):
    call_command("prepare", "--no-static")
    password = PASSWORD.search(capsys.readouterr().out)
    user = User.objects.get()
    assert password
    assert user.check_password(password[1])
    assert user.is_superuser
    assert Membership.objects.get(user=user).role == Role.ADMINISTRATOR
    call_command("prepare", "--no-static")
    assert not PASSWORD.search(capsys.readouterr().out)
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_an_installation_with_accounts_gets_no_other(django_user_model):
    django_user_model.objects.create_user("somebody")
    call_command("prepare", "--no-static")
    assert User.objects.count() == 1
