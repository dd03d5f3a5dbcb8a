import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError

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


def test_a_silent_database_is_said_in_words_soon(site):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        asked = time.monotonic()
        with pytest.raises(RuntimeError, match="The database cannot be used: .*timeout"):
            site.manage("start", DATABASE_URL=url)
    assert time.monotonic() - asked < 30


def test_without_a_path_it_starts_all_the_same(site, prepared_var):
    shutil.copytree(prepared_var, site.var)
    del site.env["PATH"]
    process = start(site)
    wait_for(site.answers, "the site", log=site.log)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("diagnosis.upgrade.migrate", OperationalError("disk I/O error")),
        ("diagnosis.management.commands.prepare.collect_static", OSError(errno.ENOSPC, "full")),
    ],
)
def test_a_full_disk_is_said_in_words(db, monkeypatch, settings, broken, error):
    def fails():
        raise error

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 4096))
    monkeypatch.setattr(broken, fails)
    with pytest.raises(CommandError, match=f"^The disk of {settings.VAR} is full"):
        call_command("prepare")


def test_a_folder_that_cannot_be_written_is_named(db, monkeypatch):
    def fails():
        raise PermissionError(errno.EACCES, "Permission denied", "/var/static")

    monkeypatch.setattr("diagnosis.management.commands.prepare.collect_static", fails)
    with pytest.raises(CommandError, match=r"^/var/static cannot be used \(Permission denied\)"):
        call_command("prepare")


def test_another_port_than_the_addresses_is_named(site, prepared_var):
    shutil.copytree(prepared_var, site.var)
    site.env["SITE_URL"] = "http://localhost:1"
    process = start(site)
    wait_for(lambda: site.said(f"It listens on port {site.port}: "), "the site", log=site.log)
    assert site.said("ready at http://localhost:1\n")
    assert site.said("or set PORT=1.")
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="needs IPv6")
def test_an_ipv6_address_answers(site, prepared_var):
    shutil.copytree(prepared_var, site.var)
    site.url = site.env["SITE_URL"] = f"http://[::1]:{site.port}"
    process = start(site)
    wait_for(site.answers, "the site", log=site.log)
    assert site.said(f"ready at {site.url}\n")
    assert not site.said("It listens on port")
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)


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
