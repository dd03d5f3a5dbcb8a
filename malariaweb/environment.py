"""Typed values from the environment and from .env; a bad one stops the start with one sentence."""

import contextlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import environ

T = TypeVar("T")

BASE_DIR = Path(__file__).resolve().parent.parent
TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}
SECRET_LENGTH = 50
WAIT = 2.0
"""Seconds for another process to finish writing the key."""
WITHOUT_MARK = "utf-8-sig"
"""Windows' editors put an unseen one before the first line."""
LINE = re.compile(r"(#.*|(export )?\w+=.*)?")
HOST = re.compile(r"[a-z0-9_.-]+")
EMAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}


class BadSetting(SystemExit):
    """So that gunicorn, celery and manage.py alike print the sentence and no traceback."""


def stop(sentence: str) -> NoReturn:
    raise BadSetting(sentence)


class _EnvFile(environ.Env):
    """Collects what a .env file says, apart from the process's own environment."""


class Environment:
    """The process's environment over the .env file; remembers which names were asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._own = values
        self._file: dict[str, str] = {}
        self._where: Path | None = None
        self.names: set[str] = set()

    def add_file(self, path: Path) -> None:
        self._file, self._where = read_env_file(path), path

    def read(self, name: str, parse: Callable[[str], T], default: T, wanted: str) -> T:
        """An empty variable counts as unset. Complaints never echo a value: it may be secret."""
        self.names.add(name)
        text = self._own.get(name, self._file.get(name, "")).strip()
        if not text:
            return default
        try:
            return parse(text)
        except (ValueError, KeyError, RuntimeError, environ.ImproperlyConfigured):
            stop(f"{name} is not understood: it must be {wanted}.")

    def text(self, name: str, default: str = "") -> str:
        return self.read(name, str, default, "text")

    def flag(self, name: str, default: bool) -> bool:
        return self.read(name, boolean, default, "true or false")

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        wanted = f"a whole number from {least} to {most}"
        return self.read(name, whole_between(least, most), default, wanted)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        wanted = "one of " + ", ".join(choices)
        return self.read(name, lambda text: choices[choices.index(text)], default, wanted)

    def folder(self, name: str, default: Path) -> Path:
        """An absolute path to a folder that exists and can be written to.

        One that is made here is closed to the machine's other accounts.
        """
        path = made(name, self.read(name, place, default, "a folder"))
        if not os.access(path, os.W_OK | os.X_OK):
            stop(f"{name}: the folder {path} cannot be written to.")
        return path

    def secret_key(self, name: str, path: Path) -> str:
        """The variable, or a key of this installation's own, made once and readable by it alone."""
        key = self.text(name)
        if not key:
            return kept_secret(path)
        if len(key) < SECRET_LENGTH or key.startswith("django-insecure"):
            stop(f"{name} is too weak: use {SECRET_LENGTH} random characters or more.")
        return key

    def secret(self, name: str, length: int) -> str:
        """A secret that may be left out, and is then empty."""
        secret = self.text(name)
        if secret and len(secret) < length:
            stop(f"{name} is too short: use {length} random characters or more.")
        return secret

    def refuse_unknown(self) -> None:
        for name in sorted(set(self._file) - self.names):
            stop(f"{name} in {self._where} is not a setting of this site: see .env.example.")

    def export(self) -> None:
        """Programs started from here (gunicorn, celery) see the same values."""
        for name, value in self._file.items():
            os.environ.setdefault(name, value)


def read_env_file(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding=WITHOUT_MARK).splitlines()
    except OSError as error:
        stop(f"ENV_FILE: {path} cannot be read ({error.strerror}).")
    except UnicodeDecodeError:
        stop(f"ENV_FILE: {path} is not a text file.")
    for number, line in enumerate(lines, start=1):
        if not LINE.fullmatch(line):
            stop(f"Line {number} of {path} is not understood: write NAME=value.")
    _EnvFile.ENVIRON = {}
    _EnvFile.read_env(path, encoding=WITHOUT_MARK)
    return _EnvFile.ENVIRON


def kept_secret(path: Path) -> str:
    """Two processes starting at once must end up with one key: the first of them makes it."""
    try:
        return _first_key(path)
    except OSError as error:
        stop(f"The secret key in {path} cannot be read or made ({error.strerror}).")


def _first_key(path: Path) -> str:
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            _keep_secret(path, secrets.token_urlsafe(SECRET_LENGTH))
    over = time.monotonic() + WAIT
    while not (key := path.read_text()):
        if time.monotonic() > over:
            stop(f"The secret key in {path} is empty: remove it, and a new one is made.")
        time.sleep(WAIT / 20)
    return key


def _keep_secret(path: Path, key: str) -> None:
    """Whole at once; where a file system has no hard links, empty for a moment."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name) as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            raise
        except OSError:
            with open(path, "x", opener=_for_me_alone) as kept:
                kept.write(key)


def _for_me_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def made(name: str, path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        stop(f"{name}: the folder {path} cannot be made ({error.strerror}).")
    return path


def place(text: str) -> Path:
    """A relative one is in the project, whatever folder a command is given in.

    RuntimeError where it begins with a ~user that this machine does not know.
    """
    return (BASE_DIR / Path(text).expanduser()).resolve()


def boolean(text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise ValueError(text)
    return text.lower() in TRUE


def whole_between(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError(text)
        return number

    return parse


def url_of(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not parts.hostname or parts.port == 0:
            raise ValueError(text)
        return text

    return parse


def site_url(text: str) -> str:
    """An address without path or trailing slash, as browsers send it in Origin."""
    parts = urlsplit(url_of("http", "https")(text.rstrip("/").lower()))
    if parts.path or parts.query or parts.fragment or parts.username:
        raise ValueError(text)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{_known_host(parts.hostname or '')}{port}"


def _known_host(host: str) -> str:
    """As browsers send it: letters beyond ASCII in the form that the name's servers know."""
    if ":" in host:
        return f"[{ip_address(host)}]"
    name = host if host.isascii() else host.encode("idna").decode()
    if not HOST.fullmatch(name):
        raise ValueError(host)
    return name


def host_of(url: str) -> str:
    """As in a Host header, without the port."""
    host = urlsplit(url).hostname or ""
    return f"[{host}]" if ":" in host else host


def listen_on(url: str) -> str:
    """An address that only this machine has needs no other to reach the port."""
    host = urlsplit(url).hostname or "localhost"
    if ":" in host:
        return "::1" if host == "::1" else "::"
    return "127.0.0.1" if host in ("localhost", "127.0.0.1") else "0.0.0.0"  # nosec B104


def redis(text: str) -> str:
    """Its path, if there is one, is the number of a database."""
    if not re.fullmatch(r"/?|/\d+", urlsplit(url_of("redis", "rediss")(text)).path):
        raise ValueError(text)
    return text


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def time_zone(text: str) -> str:
    return ZoneInfo(text).key


def database(text: str) -> dict[str, Any]:
    if urlsplit(text).scheme not in {"postgres", "postgresql"}:
        raise ValueError(text)
    config = environ.Env.db_url_config(text)
    config["OPTIONS"] = {"connect_timeout": 5} | config.get("OPTIONS", {})
    if not (config["NAME"] and config["HOST"]):
        raise ValueError(text)
    return config


def email(text: str) -> dict[str, Any]:
    """Django's EMAIL_* settings."""
    url_of(*EMAIL_PORTS)(text)
    config = environ.Env.email_url_config(text)
    config["EMAIL_PORT"] = config["EMAIL_PORT"] or EMAIL_PORTS[urlsplit(text).scheme]
    return config
