import ast
import errno
import json
import os
import re
import stat
import subprocess
import sys
from functools import partial

import pytest

from malariaweb import environment
from tests.servers import ROOT, clean_environment

SETTINGS = ROOT / "malariaweb" / "settings.py"
KEY = "k" * 50

MALFORMED = [
    ("DEBUG", "maybe"),
    ("SIGNUP_OPEN", "2"),
    ("PORT", "http"),
    ("PORT", "70000"),
    ("TRUSTED_PROXY_COUNT", "-1"),
    ("WORKER_PROCESSES", "0"),
    ("WEB_CONCURRENCY", "many"),
    ("WEB_THREADS", "1.5"),
    ("SITE_URL", "malaria.example.org"),
    ("SITE_URL", "https://malaria.example.org/app"),
    ("SITE_URL", "ftp://malaria.example.org"),
    ("SITE_URL", "https://malaria example.org"),
    ("SITE_URL", "https://malária example.org"),
    ("SITE_URL", "https://[::g]"),
    ("SECRET_KEY", "too-short"),
    ("SECRET_KEY", "django-insecure-" + KEY),
    ("DATABASE_URL", "mysql://user:password@host/name"),
    ("DATABASE_URL", "postgres://user:password@host:port/name"),
    ("DATABASE_URL", "postgres://user:password@host:5432/"),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL", "redis://host:six/0"),
    ("REDIS_URL", "redis://host:6379/abc"),
    ("S3_ENDPOINT_URL", "s3.example.org"),
    ("EMAIL_URL", "mail.example.org:587"),
    ("MODEL_ENGINE", "jax"),
    ("TIME_ZONE", "Moon/Sea_of_Tranquility"),
    ("LOG_LEVEL", "LOUD"),
    ("LOG_FORMAT", "xml"),
    ("UPLOADS_PER_HOUR", "0"),
    ("SESSION_IDLE_MINUTES", "0"),
    ("SESSION_HOURS", "ever"),
    ("SECOND_FACTOR", "yes"),
    ("LABORATORIES_PER_PERSON", "0"),
    ("STORAGE_QUOTA_GB", "all"),
    ("METRICS_TOKEN", "short"),
    ("VAR", "/dev/null/var"),
    ("VAR", "~nobody-of-this-name/var"),
    ("ENV_FILE", "/nowhere/.env"),
    ("ENV_FILE", "~nobody-of-this-name/.env"),
]


def python(folder, program, cwd=ROOT, **settings):
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=clean_environment(**({"VAR": str(folder)} | settings)),
        capture_output=True,
        text=True,
        check=False,
    )


def read(folder, *names, **settings):
    """Values of settings, as a fresh process sees them."""
    values = ", ".join(f"settings.{name}" for name in names)
    program = f"import json; from malariaweb import settings; print(json.dumps([{values}]))"
    done = python(folder, program, **settings)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found[0] if len(names) == 1 else found


def refusal(folder, **settings):
    done = python(folder, "import malariaweb.settings", **settings)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(".\n")
    return done.stderr


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_a_malformed_value_stops_the_start_with_one_sentence(tmp_path, name, value):
    sentence = refusal(tmp_path, **{name: value})
    assert sentence.startswith(name)
    assert "password" not in sentence.replace("user:password@", "")


@pytest.mark.parametrize(
    "command", [["manage.py", "check"], ["-m", "gunicorn", "malariaweb.wsgi"], ["-m", "celery"]]
)
def test_every_program_says_the_same_sentence(tmp_path, command):
    arguments = ["-A", "malariaweb", "worker"] if "celery" in command else []
    done = subprocess.run(
        [sys.executable, *command, *arguments],
        cwd=ROOT,
        env=clean_environment(VAR=str(tmp_path), DEBUG="perhaps"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "DEBUG is not understood: it must be true or false.\n"


def test_an_env_file_is_read_and_the_environment_wins(tmp_path):
    file = tmp_path / "env"
    file.write_text("# a comment\n\nPORT=8123\nTIME_ZONE='Africa/Nairobi'\n")
    names = ("PORT", "TIME_ZONE")
    assert read(tmp_path, *names, ENV_FILE=str(file)) == [8123, "Africa/Nairobi"]
    assert read(tmp_path, "PORT", ENV_FILE=str(file), PORT="8124") == 8124


def test_an_env_file_from_windows_is_read(tmp_path):
    """Its editors begin with a mark that nobody sees, and end lines in their own way."""
    file = tmp_path / "env"
    file.write_bytes(b"\xef\xbb\xbfPORT=8123\r\nTIME_ZONE=Africa/Nairobi\r\n")
    assert read(tmp_path, "PORT", "TIME_ZONE", ENV_FILE=str(file)) == [8123, "Africa/Nairobi"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("SIGN_UP_OPEN=true", "SIGN_UP_OPEN"),
        ("PORT 8000", "Line 1"),
        ("PORT = 8000", "Line 1"),
        (" PORT=8000", "Line 1"),
    ],
)
def test_an_unknown_name_or_line_in_the_env_file_stops_the_start(tmp_path, line, complaint):
    file = tmp_path / "env"
    file.write_text(line)
    assert refusal(tmp_path, ENV_FILE=str(file)).startswith(complaint)


def test_relative_places_are_in_the_project_wherever_a_command_is_given(tmp_path):
    """Else `start`, which changes its folder, and what it starts would use two of each."""
    (tmp_path / "env").write_text("PORT=8123\n")
    program = "from malariaweb import settings; print(settings.VAR, settings.PORT)"
    relative = partial(os.path.relpath, start=ROOT)
    places = {"VAR": relative(tmp_path / "var"), "ENV_FILE": relative(tmp_path / "env")}
    done = python(tmp_path, program, cwd="/", PYTHONPATH=str(ROOT), **places)
    assert (done.stdout, done.stderr) == (f"{tmp_path / 'var'} 8123\n", "")


def test_an_empty_value_counts_as_unset(tmp_path):
    assert read(tmp_path, "PORT", "REDIS_URL", PORT="", REDIS_URL=" ") == [8000, ""]


def test_with_no_settings_the_site_is_closed_and_everything_is_in_var(tmp_path):
    var = tmp_path / "made" / "var"
    names = ("DEBUG", "ALLOWED_HOSTS", "LISTEN_ON", "CELERY_BROKER_TRANSPORT_OPTIONS['folder']")
    values = read(tmp_path, *names, VAR=str(var))
    assert values == [
        False,
        ["localhost", "127.0.0.1", "[::1]"],
        "127.0.0.1",
        str(var / "broker"),
    ]


def test_the_folder_that_is_made_is_closed_to_others(tmp_path):
    read(tmp_path, "PORT", VAR=str(tmp_path / "made" / "var"))
    assert stat.S_IMODE((tmp_path / "made" / "var").stat().st_mode) == 0o700


def test_the_secret_key_is_made_once_and_readable_by_nobody_else(tmp_path):
    first, second = read(tmp_path, "SECRET_KEY"), read(tmp_path, "SECRET_KEY")
    assert len(first) >= 50
    assert first == second
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert read(tmp_path, "SECRET_KEY", SECRET_KEY=KEY) == KEY


def test_a_file_system_without_hard_links_keeps_a_key_too(tmp_path, monkeypatch):
    def refuse(old, new):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "secret_key"
    key = environment.kept_secret(path)
    assert len(key) >= environment.SECRET_LENGTH
    assert environment.kept_secret(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_secret_key_is_said_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "WAIT", 0)
    (tmp_path / "secret_key").touch()
    with pytest.raises(environment.BadSetting, match="is empty: remove it"):
        environment.kept_secret(tmp_path / "secret_key")


def test_a_secret_key_that_cannot_be_read_is_said_in_one_sentence(tmp_path):
    (tmp_path / "secret_key").mkdir()
    assert "secret_key cannot be read or made (Is a directory)" in refusal(tmp_path)


def test_processes_that_start_together_agree_on_the_secret_key(tmp_path):
    program = "from malariaweb.settings import SECRET_KEY; print(SECRET_KEY)"
    env = clean_environment(VAR=str(tmp_path))
    processes = [
        subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=env, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    assert len({process.communicate()[0] for process in processes}) == 1


SECURITY = ("ALLOWED_HOSTS[-1]", "CSRF_TRUSTED_ORIGINS", "LISTEN_ON", "TRUSTED_PROXY_COUNT")
COOKIES = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT")


def test_an_https_address_turns_on_all_that_https_allows(tmp_path):
    url = "https://malaria.example.org"
    names = (*SECURITY, *COOKIES, "SECURE_HSTS_SECONDS", "SECURE_PROXY_SSL_HEADER")
    assert read(tmp_path, *names, SITE_URL=f"{url.upper()}/") == [
        "malaria.example.org",
        [url],
        "0.0.0.0",
        1,
        True,
        True,
        True,
        365 * 24 * 3600,
        ["HTTP_X_FORWARDED_PROTO", "https"],
    ]


def test_plain_http_works_in_a_laboratory(tmp_path):
    url = "http://192.168.1.20:8000"
    names = (*SECURITY, *COOKIES, "SECURE_HSTS_SECONDS", "SECURE_PROXY_SSL_HEADER")
    assert read(tmp_path, *names, SITE_URL=url) == [
        "192.168.1.20",
        [url],
        "0.0.0.0",
        0,
        False,
        False,
        False,
        0,
        None,
    ]


@pytest.mark.parametrize(
    ("url", "host", "listens_on"),
    [
        ("http://localhost:8111", "localhost", "127.0.0.1"),
        ("http://[::1]:8111", "[::1]", "::1"),
        ("http://[fd00:0::20]:8111", "[fd00::20]", "::"),
    ],
)
def test_the_family_of_the_address_is_listened_to(tmp_path, url, host, listens_on):
    found = read(tmp_path, "ALLOWED_HOSTS[-1]", "LISTEN_ON", SITE_URL=url)
    assert found == [host, listens_on]


def test_a_name_beyond_ascii_is_written_as_browsers_send_it(tmp_path):
    names = ("ALLOWED_HOSTS[-1]", "CSRF_TRUSTED_ORIGINS")
    host = "xn--malria-rta.example.org"
    found = read(tmp_path, *names, SITE_URL="https://Malária.example.org:8443/")
    assert found == [host, [f"https://{host}:8443"]]


def test_a_database_can_be_reached_by_a_socket(tmp_path):
    url = "postgres:////var/run/postgresql/malaria"
    database = read(tmp_path, "DATABASES['default']", DATABASE_URL=url)
    assert (database["HOST"], database["NAME"]) == ("/var/run/postgresql", "malaria")


def test_a_silent_database_is_not_waited_for_for_long_unless_asked(tmp_path):
    url, name = "postgres://user@db:5432/malaria", "DATABASES['default']['OPTIONS']"
    assert read(tmp_path, name, DATABASE_URL=url) == {"connect_timeout": 5}
    asked = {"connect_timeout": 60, "sslmode": "require"}
    url += "?connect_timeout=60&sslmode=require"
    assert read(tmp_path, name, DATABASE_URL=url) == asked


def test_https_needs_the_proxy_that_ends_it(tmp_path):
    sentence = refusal(tmp_path, SITE_URL="https://a.example", TRUSTED_PROXY_COUNT="0")
    assert sentence.startswith("TRUSTED_PROXY_COUNT")


def test_services_by_their_addresses(tmp_path):
    values = read(
        tmp_path,
        "DATABASES['default']['ENGINE']",
        "DATABASES['default']['PASSWORD']",
        "CELERY_BROKER_URL",
        "CACHES['default']['LOCATION']",
        "STORAGES['default']['BACKEND']",
        "EMAIL_PORT",
        "EMAIL_USE_TLS",
        DATABASE_URL="postgres://user:p%40ss@db:5432/malaria",
        REDIS_URL="rediss://:word@cache:6380/1",
        S3_BUCKET="smears",
        EMAIL_URL="smtp+tls://user:word@mail.example.org",
    )
    assert values == [
        "django.db.backends.postgresql",
        "p@ss",
        "rediss://:word@cache:6380/1",
        "rediss://:word@cache:6380/1",
        "storages.backends.s3.S3Storage",
        587,
        True,
    ]


def test_time_limits_stand_in_order(settings):
    visible_again = 10 * settings.ANALYSIS_TIME_LIMIT
    assert settings.CELERY_TASK_SOFT_TIME_LIMIT < settings.CELERY_TASK_TIME_LIMIT
    assert settings.CELERY_TASK_TIME_LIMIT < settings.LEASE_SECONDS < visible_again
    assert settings.CELERY_ACCEPT_CONTENT == ["json"]


def test_redis_hides_a_message_for_longer_than_a_task_may_take(tmp_path):
    hidden = "CELERY_BROKER_TRANSPORT_OPTIONS['visibility_timeout']"
    timeout, limit = read(tmp_path, hidden, "CELERY_TASK_TIME_LIMIT", REDIS_URL="redis://host/0")
    assert timeout > 2 * limit  # one message may wait behind another


@pytest.mark.parametrize(("processes", "threads"), [("1", 4), ("2", 2), ("3", 1), ("9", 1)])
def test_processes_and_engine_threads_share_the_cores(tmp_path, processes, threads):
    program = (
        "from malariaweb import environment; environment.cores = lambda: 4;"
        "from malariaweb.settings import ENGINE_THREADS; print(ENGINE_THREADS)"
    )
    assert python(tmp_path, program, WORKER_PROCESSES=processes).stdout == f"{threads}\n"


def names_read() -> set[str]:
    """The first argument of every `env.<reader>("NAME", ...)` in the settings."""
    calls = [
        node for node in ast.walk(ast.parse(SETTINGS.read_text())) if isinstance(node, ast.Call)
    ]
    return {
        str(call.args[0].value)
        for call in calls
        if ast.unparse(call.func).startswith(("env.", "os.environ.get"))
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }


def test_the_example_lists_every_variable_and_no_other():
    listed = re.findall(r"^#([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.M)
    assert len(listed) == len(set(listed))
    assert set(listed) == names_read()
