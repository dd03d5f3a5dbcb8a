"""Files of strangers are decoded in a child process with limits (`ml.sandbox_child`).

Whatever a file does to its decoder (crash, hang, swell), the caller gets UnreadableImage with the
reason in words, and the next file a fresh child. The caller's process stays small: the libraries
that decode are loaded in the child alone.
"""

import atexit
import contextlib
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ml.limits import UnreadableImage

CHILDREN = 2
"""At most so many at once for each process that decodes."""
SECONDS = 60
"""On the clock, so generous: a busy machine is not the file's fault. For the processor's time there
is a tighter limit in the child."""
FILES_PER_CHILD = 500
"""A library that leaks must not make good files fail in the end."""
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL", "TMPDIR")
"""All that the child inherits: no password, key or address of a database."""

OUT_OF_TIME = (-signal.SIGXCPU, -signal.SIGALRM)


@dataclass(frozen=True)
class Decoded:
    """An upright RGB picture; `sha256` is of f"{width}x{height}" and the RGB bytes."""

    png: bytes
    width: int
    height: int
    sha256: str
    kind: str


def decode(data: bytes) -> Decoded:
    """Raises UnreadableImage. Safe to call from several threads."""
    with _borrowed() as child:
        header, png = child.ask(data)
    if "refusal" in header:
        raise UnreadableImage(header["refusal"], header["sentence"])
    return Decoded(png, header["width"], header["height"], header["sha256"], header["kind"])


class ChildLost(Exception):
    """The pipe broke: the other side crashed, ended or was killed."""


class Child:
    """One decoder process, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._files = 0

    def ask(self, data: bytes) -> tuple[dict[str, Any], bytes]:
        # Only the second crash is blamed on the file: the first child may have been killed while
        # it was idle, or in place of another process when memory ran out.
        for _ in range(2):
            with contextlib.suppress(ChildLost):
                return self._ask(data)
        raise UnreadableImage("broken", "The file is damaged: decoding it crashed.")

    def _ask(self, data: bytes) -> tuple[dict[str, Any], bytes]:
        process = self._running()
        deadline = time.monotonic() + SECONDS
        killer = threading.Timer(SECONDS, process.kill)
        killer.start()
        try:
            send(cast(IO[bytes], process.stdin), struct.pack(">Q", len(data)), data)
            header, png = _reply(cast(IO[bytes], process.stdout))
        except ChildLost:
            self.stop()
            if time.monotonic() >= deadline or process.returncode in OUT_OF_TIME:
                raise UnreadableImage("too-slow", "Decoding this image takes too long.") from None
            raise
        except BaseException:
            self.stop()  # what is left of its answer would be taken for the next one's
            raise
        finally:
            killer.cancel()
        self._count(header)
        return header, png

    def _count(self, header: dict[str, Any]) -> None:
        self._files += 1
        if self._files >= FILES_PER_CHILD or header.get("refusal") == "too-heavy":
            self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process and self._process.poll() is not None:
            self.stop()
        if not self._process:
            self._process = _start()
            self._files = 0
        return self._process

    def stop(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # what was not sent cannot be flushed
                    cast(IO[bytes], pipe).close()


def _start(module: str = "ml.sandbox_child") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parent.parent,
        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        start_new_session=True,
    )


def send(pipe: IO[bytes], *parts: bytes) -> None:
    try:
        for part in parts:
            pipe.write(part)
        pipe.flush()
    except OSError:
        raise ChildLost from None


def receive(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise ChildLost
    return data


def _reply(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack(">I", receive(pipe, 4))
    header = json.loads(receive(pipe, size))
    return header, receive(pipe, header["size"])


_children: "queue.LifoQueue[Child]"


def _fill() -> None:
    """Also after a fork: two processes must not talk through the same pipes."""
    global _children
    _children = queue.LifoQueue()
    for _ in range(CHILDREN):
        _children.put(Child())


@contextlib.contextmanager
def _borrowed() -> Iterator[Child]:
    children = _children
    try:
        child = children.get(timeout=SECONDS)
    except queue.Empty:
        raise UnreadableImage(
            "busy", "Too many images arrive at this moment: send this one again."
        ) from None
    try:
        yield child
    finally:
        children.put(child)


def stop() -> None:
    """End the idle children; the next `decode` starts a new one."""
    idle = []
    with contextlib.suppress(queue.Empty):
        while True:
            idle.append(_children.get_nowait())
    for child in idle:
        child.stop()
        _children.put(child)


_fill()
os.register_at_fork(after_in_child=_fill)
atexit.register(stop)
