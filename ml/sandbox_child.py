"""The child of `ml.sandbox`: decodes one file after the other until its parent is gone.

Request on stdin: 8 bytes with the length, then the file. Reply on stdout: 4 bytes with the length
of a JSON header, the header, then `header["size"]` bytes of PNG.
"""

import contextlib
import hashlib
import io
import json
import os
import resource
import select
import signal
import struct
import threading
from collections.abc import Iterator
from typing import Any

import cv2
from PIL import Image

from ml.images import read_image
from ml.kinds import kind_of
from ml.limits import UnreadableImage
from ml.sandbox import SECONDS, ChildLost, receive, send

CPU_SECONDS = 20
MEMORY = 2560 * 1024**2
"""Bytes of address space, libraries (0.6 GB) included; 50 megapixels of floats take 1.8 GB."""


def serve() -> None:
    requests, replies = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the replies
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # not every system has this limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with contextlib.suppress(ChildLost):
        while True:
            (size,) = struct.unpack(">Q", receive(requests, 8))
            data = receive(requests, size)
            with _time_limit():
                header, png = answer(data)
            head = json.dumps(header | {"size": len(png)}).encode()
            send(replies, struct.pack(">I", len(head)), head, png)


def _end_with_parent() -> None:
    """While the main thread decodes it does not read stdin: watch for the hang-up beside it."""
    poll = select.poll()
    poll.register(0, 0)  # no event asked for: a hang-up is reported always
    poll.poll()
    os._exit(0)


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """The kernel ends a decoder that hangs or spins, even when no parent is left to do so."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_SECONDS + 1, hard))
    signal.alarm(SECONDS + 1)
    try:
        yield
    finally:
        signal.alarm(0)


def answer(data: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        return _described(read_image(data))
    except UnreadableImage as refusal:
        return _refused(refusal.code, str(refusal))
    except MemoryError:
        return _refused("too-heavy", "Decoding this image takes too much memory.")


def _refused(code: str, sentence: str) -> tuple[dict[str, Any], bytes]:
    return {"refusal": code, "sentence": sentence}, b""


def _described(image: Image.Image) -> tuple[dict[str, Any], bytes]:
    png = io.BytesIO()
    image.save(png, "PNG", compress_level=3)
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.tobytes())
    header = {
        "width": image.width,
        "height": image.height,
        "sha256": digest.hexdigest(),
        "kind": kind_of(image),
    }
    return header, png.getvalue()


if __name__ == "__main__":
    serve()
