"""What every test may ask for. Each test has media and VAR folders of its own.

Real servers, skipped with the reason where they cannot be had (a failure under CI=true):

    postgres_url   a fresh, empty PostgreSQL database: "postgres://..." (dropped afterwards)
    redis_url      a Redis server, flushed before each test: "redis://127.0.0.1:PORT/0"
    live_stack     a factory: `site = live_stack(REDIS_URL=redis_url, ...)` starts the real web
                   server and a real Celery worker in a fresh VAR; see tests.servers.Site
"""

import pytest


@pytest.fixture(autouse=True)
def own_folders(settings, tmp_path):
    settings.VAR = tmp_path / "var"
    settings.MEDIA_ROOT = settings.VAR / "media"
    settings.MEDIA_ROOT.mkdir(parents=True)
