"""A real worker on either broker: it sweeps from its start on, and when its broker is back."""

import pytest

from tests import servers
from tests.servers import Site, free_port, wait_for

SWEPT = "Task diagnosis.tasks.sweep"


@pytest.fixture
def launch(live_stack):
    def launch(**settings: str) -> Site:
        site = live_stack(start=False, LOG_LEVEL="DEBUG", **settings)
        site.prepare()
        site.start_worker()
        return site

    return launch


def wait_for_sweep(site: Site) -> None:
    done = site.said("succeeded in")
    wait_for(lambda: site.said(SWEPT) and site.said("succeeded in") > done, "a sweep", log=site.log)


def test_a_worker_on_files_sweeps_at_its_start_and_again(launch):
    site = launch()
    wait_for_sweep(site)
    wait_for_sweep(site)


def test_a_worker_on_redis_goes_on_when_redis_comes_back(launch, redis_server):
    port = free_port()
    with servers.redis_server(port) as url:
        site = launch(REDIS_URL=url)
        wait_for_sweep(site)
    wait_for(lambda: site.said("Connection to broker lost"), "the worker's notice", log=site.log)
    with servers.redis_server(port):
        wait_for_sweep(site)
    assert site.workers[0].poll() is None
