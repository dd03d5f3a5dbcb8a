"""Gunicorn's threads, which a client that sends nothing or next to nothing cannot hold for long."""

import errno
import socket
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

PATIENCE = 30
"""Seconds without a byte after which a connection is cut."""
LEAST_RATE = 1_000
"""Bytes a second below which patience wears out: a poor mobile connection has ten times as many."""


class PacedSocket(socket.socket):
    """Waiting uses up patience, and what arrives gives it back."""

    patience: float = PATIENCE

    def recv(self, *arguments: Any) -> bytes:
        started = time.monotonic()
        before = self.gettimeout()
        self.settimeout(max(0.001, self.patience if before is None else min(before, self.patience)))
        try:
            data = super().recv(*arguments)
        except TimeoutError:
            data = b""
            self._wait(started, data)
            # Not a timeout: gunicorn would log it with its trace, as an error of its own.
            raise OSError(errno.ECONNRESET, "The client has stalled.") from None
        finally:
            self.settimeout(before)
        self._wait(started, data)
        return data

    def _wait(self, started: float, data: bytes) -> None:
        left = self.patience - (time.monotonic() - started) + len(data) / LEAST_RATE
        self.patience = min(PATIENCE, left)


class Worker(ThreadWorker):
    def enqueue_req(self, conn: Any) -> None:
        if not isinstance(conn.sock, PacedSocket):
            timeout = conn.sock.gettimeout()
            conn.sock = PacedSocket(fileno=conn.sock.detach())
            conn.sock.settimeout(timeout)
        super().enqueue_req(conn)
