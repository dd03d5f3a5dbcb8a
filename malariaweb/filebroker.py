"""A broker made of files: one folder a queue, one file a message.

Kombu's own filesystem transport writes messages in place, so that a reader can meet half a message,
and ends the worker on one that it cannot read. Here a message appears by a rename, is taken by
a rename (only one reader can win), and is set aside in `unreadable/` if it makes no sense, as it
may after a power cut. It takes part in Celery's event loop, like Redis, so that workers get the
same pool of processes: there a killed process cannot leave a lock behind.

What a killed worker had taken is gone with it: the sweep finds it, in the database.
"""

import logging
import time
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import virtual
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps, loads

logger = logging.getLogger(__name__)

WRITING, TAKEN, UNREADABLE = "writing", "taken", "unreadable"


class Channel(virtual.Channel):
    def folder(self, name: str) -> Path:
        options: Any = self.connection.client.transport_options  # type: ignore[union-attr]
        path = Path(options["folder"], name)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def waiting(self, queue: str) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder(f"queue-{queue}").iterdir())

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        name = f"{time.time_ns():020}-{uuid.uuid4()}.json"
        unfinished = self.folder(WRITING) / name
        try:
            unfinished.write_bytes(str_to_bytes(dumps(message)))
            unfinished.rename(self.folder(f"queue-{queue}") / name)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        for path in self.waiting(queue):
            with suppress(FileNotFoundError):  # another reader took it
                taken = path.rename(self.folder(TAKEN) / path.name)
                if message := self._read(taken):
                    return message
        raise Empty

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            message = loads(path.read_bytes())
            self.Message(message, channel=self).delivery_info["exchange"]
        except Exception as error:
            logger.warning("Set aside a message that cannot be read: %s (%r)", path.name, error)
            path.rename(self.folder(UNREADABLE) / path.name)
            return None
        path.unlink()
        return message

    def _size(self, queue: str) -> int:
        return len(self.waiting(queue))

    def _purge(self, queue: str) -> int:
        removed = 0
        for path in self.waiting(queue):
            with suppress(FileNotFoundError):
                path.unlink()
                removed += 1
        return removed


class Transport(virtual.Transport):
    Channel = Channel
    polling_interval = 0.1
    driver_type = driver_name = "files"
    implements = virtual.Transport.implements.extend(
        asynchronous=True, exchange_type=frozenset(["direct", "topic"])
    )

    def driver_version(self) -> str:
        return "1"

    def register_with_event_loop(self, connection: virtual.Transport, loop: Any) -> None:
        loop.call_repeatedly(self.polling_interval, self._deliver_waiting)

    def _deliver_waiting(self) -> None:
        with suppress(Empty):
            while True:
                self.cycle.get(self._deliver)  # type: ignore[union-attr]
