"""Somebody who uses a running site over the network, with an account and a laboratory of their own.

ada = Visitor(site)
answer = ada.upload(ada.new_slide("KSM-1"), {"cell.png": png})
answer.json, answer.status, answer["X-Request-ID"]
"""

import json
import urllib.error
import urllib.request
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.people import PASSWORD
from tests.servers import Site


class Answer:
    def __init__(self, status: int, headers: Message, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def __getitem__(self, name: str) -> str:
        return self.headers[name] or ""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Visitor:
    def __init__(self, site: Site, username: str = "ada") -> None:
        self.site, self.cookies = site, CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self.get("/accounts/signup/")
        passwords = {"password1": PASSWORD, "password2": PASSWORD}
        assert self.post("/accounts/signup/", {"username": username, **passwords}).status == 200
        assert "sessionid" in {cookie.name for cookie in self.cookies}

    @property
    def token(self) -> str:
        return next(str(cookie.value) for cookie in self.cookies if cookie.name == "csrftoken")

    def get(self, path: str) -> Answer:
        return self._ask(urllib.request.Request(self.site.url + path))

    def post(self, path: str, fields: dict[str, Any]) -> Answer:
        """As the page's own script does."""
        return self.send(path, encode_multipart(BOUNDARY, fields))

    def send(self, path: str, body: bytes, kind: str = MULTIPART_CONTENT) -> Answer:
        headers = self.headers | {"Content-Type": kind}
        return self._ask(urllib.request.Request(self.site.url + path, body, headers))

    @property
    def headers(self) -> dict[str, str]:
        return {"X-CSRFToken": self.token, "Accept": "application/json"}

    def new_slide(self, code: str, note: str = "") -> str:
        """Where its images go."""
        answer = self.post("/slides/new/", {"code": code, "note": note})
        assert answer.status == 201, answer.text
        return answer.json["images"]

    def upload(self, path: str, files: dict[str, bytes]) -> Answer:
        images = [SimpleUploadedFile(name, content) for name, content in files.items()]
        return self.post(path, {"images": images})

    def _ask(self, request: urllib.request.Request) -> Answer:
        try:
            with self.opener.open(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())
