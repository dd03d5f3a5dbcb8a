"""How gunicorn serves the site; it reads this by itself: `gunicorn malariaweb.wsgi`."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from malariaweb import settings

host = f"[{settings.LISTEN_ON}]" if ":" in settings.LISTEN_ON else settings.LISTEN_ON
bind = f"{host}:{settings.PORT}"
workers = settings.WEB_CONCURRENCY
threads = settings.WEB_THREADS
# A bad setting then ends the start with its sentence, instead of ending one process after another.
preload_app = True
worker_class = "malariaweb.serving.Worker"
# Uploads on their way end well; hosts that stop a service wait 30 s, seldom longer.
graceful_timeout = 25
# A proxy ends an idle connection first (Caddy after 120 s): its requests meet no closed one.
keepalive = 125
forwarded_allow_ips = "*" if settings.TRUSTED_PROXY_COUNT else "127.0.0.1"
# gunicorn makes a file with a name of its own there.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # nosec B108
control_socket_disable = True
loglevel = "warning"
gunicorn_log = {"handlers": ["console"], "level": "WARNING", "propagate": False}
loggers = {**settings.LOGGING["loggers"], "gunicorn.error": gunicorn_log}  # type: ignore[dict-item]
logconfig_dict = {**settings.LOGGING, "loggers": loggers}

if settings.METRICS_TOKEN:
    # Before prometheus_client is loaded: web processes then add up what each has counted.
    counts = settings.VAR / "metrics"
    shutil.rmtree(counts, ignore_errors=True)
    counts.mkdir()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(counts)


def way_from(url: str) -> str:
    """To the port that listens, where the address has another; https always has its proxy."""
    parts = urlsplit(url)
    port = parts.port or 80
    if parts.scheme != "http" or port == settings.PORT:
        return ""
    return f"It listens on port {settings.PORT}: lead port {port} there, or set PORT={port}.\n"


def when_ready(server: Any) -> None:
    address = settings.SITE_URL or f"http://localhost:{settings.PORT}"
    sys.stdout.write(f"The site is ready at {address}\n{way_from(settings.SITE_URL)}")
    sys.stdout.flush()
