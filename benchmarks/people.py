"""What locust lets people do on a running site; benchmarks.load starts it."""

import html
import itertools
import json
import os
import random
import re
import time
from pathlib import Path

from locust import HttpUser, between, events, task

from benchmarks.cells import unlike_all_others

SESSIONS = iter(json.loads(Path(os.environ["LOAD_SESSIONS"]).read_text()))
PAUSE = float(os.environ["LOAD_PAUSE"])
CELLS = sorted(Path(os.environ["LOAD_CELLS"]).iterdir())
CSRF = "c" * 32
CARD = re.compile(r'id="image-([0-9a-f-]{36})".*?</li>', re.S)
SEEN = re.compile(r'name="seen" value="([^"]*)"')
NEXT = re.compile(r'<section id="results"[^>]* hx-get="([^"]*)"[^>]* every (\d+)(ms|s)')
WATCHED = 4
"""Seconds that a person looks at their images being read."""
FULL = 40
"""Images after which a person begins another slide."""
numbers = itertools.count()
chance = random.Random(1)


class Person(HttpUser):
    wait_time = between(PAUSE / 3, PAUSE * 5 / 3)

    def on_start(self) -> None:
        self.client.cookies.update({"sessionid": next(SESSIONS), "csrftoken": CSRF})
        self.client.headers.update({"X-CSRFToken": CSRF, "Accept-Encoding": "gzip"})
        self.unread: list[tuple[str, str]] = []
        self.new_slide()

    def new_slide(self) -> None:
        fields = {"code": f"L-{next(numbers)}", "note": ""}
        answer = self.client.post("/slides/new/", fields, headers={"Accept": "application/json"})
        self.upload_to = answer.json()["images"]
        self.slide, self.images = self.upload_to.removesuffix("images/"), 0

    @task(3)
    def history(self) -> None:
        self.client.get("/slides/", name="page: history")

    @task(2)
    def search(self) -> None:
        self.client.get("/slides/?q=L-1&result=parasitized", name="page: history, filtered")

    @task(2)
    def today(self) -> None:
        self.client.get("/today/", name="page: today")

    @task(3)
    def slide_page(self) -> None:
        self.client.get(self.slide, name="page: slide")

    @task(3)
    def upload(self) -> None:
        if self.images >= FULL:
            self.new_slide()
        count = chance.randint(1, 20)
        self.images += count
        files = [
            ("images", (f"{n}.png", unlike_all_others(CELLS), "image/png")) for n in range(count)
        ]
        with self.client.post(self.upload_to, files=files, name="upload of 1 to 20 images",
                              headers={"Accept": "application/json"}, catch_response=True
                              ) as answer:  # fmt: skip
            receipts = answer.json()["receipts"] if answer.ok else []
            if not all(receipt["image"] for receipt in receipts) or len(receipts) != count:
                answer.failure(f"not all stored: {answer.text[:500]}")
        self.poll()

    def results(self, address: str) -> str:
        headers = {"HX-Request": "true"}
        return self.client.get(address, name="page: results", headers=headers).text

    def poll(self) -> None:
        """As the page does: where and as often as it says, which knows what it shows already."""
        begun, text = time.monotonic(), self.results(f"{self.slide}results/")
        while time.monotonic() - begun < WATCHED and (asks := NEXT.search(text)):
            time.sleep(int(asks[2]) / (1000 if asks[3] == "ms" else 1))
            text = self.results(html.unescape(asks[1])) or text
        self.unread = [
            (card[1], seen[1]) for card in CARD.finditer(text)
            if (seen := SEEN.search(card[0])) and "data-take-back" not in card[0]
        ]  # fmt: skip

    @task(4)
    def review(self) -> None:
        if not self.unread:
            return
        image, seen = self.unread.pop()
        self.client.post(f"/images/{image}/review/", {"label": "uninfected", "seen": seen},
                         headers={"HX-Request": "true"}, name="page: review")  # fmt: skip


@events.quitting.add_listener
def keep(environment, **_: object) -> None:  # type: ignore[no-untyped-def]
    pages = [entry for entry in environment.stats.entries.values() if entry.name.startswith("page")]
    found = {
        "requests": environment.stats.total.num_requests,
        "errors": environment.stats.total.num_failures,
        "said": [error.to_name() for error in environment.stats.errors.values()],
        "pages": {e.name: e.get_response_time_percentile(0.95) for e in pages},
    }
    Path(os.environ["LOAD_FOUND"]).write_text(json.dumps(found))
