"""A Celery app on the file broker, for tests/test_filebroker.py: its worker is a real one."""

import os
import time
from pathlib import Path

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

TRANSPORT_ALIASES["files"] = "malariaweb.filebroker:Transport"
FOLDER = Path(os.environ["BROKER_FOLDER"])

app = Celery("tests.broker_app", broker="files://")
app.conf.update(
    broker_transport_options={"folder": str(FOLDER / "broker"), "polling_interval": 0.05},
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
)


@app.task
def note(name: str, seconds: float = 0.0) -> None:
    with (FOLDER / "notes").open("a") as notes:
        notes.write(f"{name} {os.getpid()}\n")
    time.sleep(seconds)
