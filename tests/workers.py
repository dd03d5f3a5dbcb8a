"""A site whose workers fall ill at the sight of marked images, and note what they read."""

import subprocess
from pathlib import Path

from celery import Celery

from tests.servers import Site


class Workers(Site):
    """A site with the workers of tests.ill_worker and the short waits of tests.worker_settings."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.readings = folder / "readings"
        self.readings.touch()
        super().__init__(folder, DJANGO_SETTINGS_MODULE="tests.worker_settings", **settings)
        self.env["READINGS"] = str(self.readings)

    def _start(self, *command: str, **settings: str) -> subprocess.Popen[bytes]:
        ill = ["tests.ill_worker" if part == "malariaweb" else part for part in command]
        return super()._start(*ill, **settings)

    def sender(self) -> Celery:
        sender = Celery(broker=self.env.get("REDIS_URL", "files://localhost"), set_as_current=False)
        if "REDIS_URL" not in self.env:
            sender.conf.broker_transport_options = {"folder": str(self.var / "broker")}
        return sender

    def readings_of(self, fingerprint: str) -> int:
        return self.readings.read_text().count(fingerprint)
