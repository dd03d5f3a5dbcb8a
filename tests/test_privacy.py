"""Codes, notes, names and file names stay in the database: a full run with marked data is grepped.

The marks are looked for in the log (of both formats, at its most talkative) and in the messages
that the broker held.
"""

import base64
import json
import shutil
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.readings import png
from tests.servers import Site, wait_for
from tests.visitors import Visitor

CODE, NOTE, NAME, FILE = "MARK-CODE-7", "marknote", "markuser", "markfile"
MARKS = ("mark-code-7", NOTE, NAME, FILE, "marksearch", "marktypo")


class Listener:
    """Copies every message that passes through the file broker."""

    def __init__(self, site: Site, kept: Path) -> None:
        self.queue, self.kept, self.over = site.var / "broker", kept, Event()
        kept.mkdir()
        self.thread = Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        while not self.over.wait(0.002):
            for path in self.queue.glob("*/*.json"):
                try:
                    shutil.copy(path, self.kept / path.name)
                except OSError:
                    continue

    def stop(self) -> list[str]:
        self.over.set()
        self.thread.join()
        return [path.read_text() for path in self.kept.iterdir()]


def full_run(site: Site) -> None:
    """All that a person does, and much that goes wrong."""
    ada = Visitor(site, NAME)
    images = ada.new_slide(CODE, NOTE)
    slide = images.removesuffix("images/")
    ada.upload(images, {f"{FILE}.png": png(1), f"{FILE}-2.jpg": b"no picture"})
    wait_for(lambda: "data-state=" in ada.get(slide).text or not pending(ada, slide), "the reading")
    for path in (slide, f"{slide[:-1]}.csv", "/slides.csv", "/slides/?q=marksearch", "/marktypo/"):
        ada.get(path)
    assert ada.post("/slides/new/", {"code": CODE, "note": NOTE}).status == 400
    ada.post("/accounts/login/", {"login": "marktypo", "password": "marktypo"})
    ada.post(images, {"images": f"{FILE} is no file"})
    ada.get("/invitations/marktypo/")


def pending(visitor: Visitor, slide: str) -> bool:
    text = visitor.get(f"{slide[:-1]}.csv").text
    return ",queued," in text or ",running," in text


@pytest.mark.parametrize("form", ["line", "json"])
def test_neither_log_nor_messages_hold_a_mark(live_stack, tmp_path, form):
    site = live_stack(workers=0, LOG_FORMAT=form, LOG_LEVEL="DEBUG")
    listener = Listener(site, tmp_path / "messages")
    full_run_before_the_worker = Thread(target=full_run, args=[site])
    full_run_before_the_worker.start()
    wait_for(lambda: list((site.var / "broker").glob("queue-*/*.json")), "a message", log=site.log)
    site.start_worker()
    full_run_before_the_worker.join()
    site.stop()
    messages = listener.stop()
    log = site.log.read_text().lower()
    assert "answered" in log if form == "json" else "not found" in log
    tasks = [json.loads(message)["headers"]["task"] for message in messages]
    assert "diagnosis.tasks.analyse" in tasks
    for text in (log, *(decoded(message).lower() for message in messages)):
        assert [mark for mark in MARKS if mark in text] == []


def decoded(message: str) -> str:
    """With its body, which kombu writes in base64."""
    return message + base64.b64decode(json.loads(message)["body"]).decode()
