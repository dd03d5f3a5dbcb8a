"""Gunicorn's threads, which slow or silent clients can hold neither for long nor all at once.

A connection gets a thread with its first byte. One that has been waited for is slow from then on;
a few threads are kept from the slow ones, so that pages still answer, and none of a person or an
address holds more than half. `/healthz` has a thread of its own: that all others are busy is no
reason to kill the process.
"""

import errno
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from threading import Lock
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

PATIENCE = 30
"""Seconds without a byte after which a connection is cut."""
LEAST_RATE = 1_000
"""Bytes a second below which patience wears out: a poor mobile connection has ten times as many."""
SLOW_AFTER = 5
"""Seconds that a request has been waited for."""
FIRST_BYTE_WITHIN = 10
HEALTH = (b"GET /healthz ", b"HEAD /healthz ")


class PacedSocket(socket.socket):
    """Waiting uses up patience, and what arrives gives it back."""

    patience: float = PATIENCE
    waited: float = 0
    """Seconds, for the request that is being received."""
    owner: object = None
    is_cut = False

    def recv(self, *arguments: Any) -> bytes:
        before = self.gettimeout()
        most = self.patience if before is None else min(before, self.patience)
        until_slow = SLOW_AFTER - self.waited
        try:
            if 0 < until_slow < most:
                try:
                    return self._recv(until_slow, arguments)
                except TimeoutError:
                    SLOW.add(self)
                    most -= until_slow
            return self._recv(most, arguments)
        except TimeoutError:
            # Not a timeout: gunicorn would log it with its trace, as an error of its own.
            raise OSError(errno.ECONNRESET, "The client has stalled.") from None
        finally:
            self.settimeout(before)

    def _recv(self, seconds: float, arguments: Any) -> bytes:
        started, data = time.monotonic(), b""
        self.settimeout(max(0.001, seconds))
        try:
            data = super().recv(*arguments)
        finally:
            took = time.monotonic() - started
            self.waited += took
            self.patience = min(PATIENCE, self.patience - took + len(data) / LEAST_RATE)
        if self.is_cut:
            raise OSError(errno.ECONNRESET, "Too many are as slow as this client.")
        return data

    def cut(self) -> None:
        self.is_cut = True
        with suppress(OSError):  # it is over already
            self.shutdown(socket.SHUT_RD)

    def next_request(self) -> None:
        self.waited = 0
        SLOW.discard(self)


class Slow:
    """The connections of this process that hold a thread and keep it waiting, the newest last."""

    def __init__(self) -> None:
        self.sockets: list[PacedSocket] = []
        self.lock = Lock()
        self.make_room(1)

    def make_room(self, threads: int) -> None:
        self.most = max(1, threads - max(2, threads // 4))
        self.most_of_one = max(1, threads // 2)

    def add(self, sock: PacedSocket) -> None:
        with self.lock:
            self.sockets.append(sock)
            [(owner, number)] = Counter(one.owner for one in self.sockets).most_common(1)
            if number > self.most_of_one or len(self.sockets) > self.most:
                last = next(one for one in reversed(self.sockets) if one.owner == owner)
                self.sockets.remove(last)
                last.cut()

    def discard(self, sock: PacedSocket) -> None:
        with self.lock:
            if sock in self.sockets:
                self.sockets.remove(sock)


SLOW = Slow()


class Worker(ThreadWorker):
    def init_process(self) -> None:
        SLOW.make_room(self.cfg.threads)
        self.health_pool = ThreadPoolExecutor(1)
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        if not isinstance(conn.sock, PacedSocket):
            timeout = conn.sock.gettimeout()
            conn.sock = PacedSocket(fileno=conn.sock.detach())
            conn.sock.settimeout(timeout)
        if not (conn.initialized or conn.data_ready):
            self._await_first_byte(conn)
            return
        conn.sock.next_request()
        conn.sock.owner = conn.client[0]
        pool = self.health_pool if _asks_for_health(conn.sock) else self.tpool
        done = pool.submit(self.handle, conn)
        done.add_done_callback(partial(self._done, conn))

    def _done(self, conn: Any, done: Any) -> None:
        conn.sock.next_request()
        self.method_queue.defer(self.finish_request, conn, done)

    def _await_first_byte(self, conn: Any) -> None:
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + FIRST_BYTE_WITHIN
        self.pending_conns.append(conn)
        ready = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, EVENT_READ, ready)


def _asks_for_health(sock: PacedSocket) -> bool:
    try:
        begun = socket.socket.recv(sock, 16, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return False
    return begun.startswith(HEALTH)
