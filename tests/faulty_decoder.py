"""A child of ml.sandbox that also does to itself what a bad file can do to a decoder."""

import os
import signal
import time

from PIL import Image

from ml import sandbox_child

MINUTE = 60


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    time.sleep(MINUTE)


def spin() -> None:
    end = time.monotonic() + MINUTE
    while time.monotonic() < end:
        pass


def swell() -> None:
    bytearray(sandbox_child.MEMORY)
    hang()


def hurry() -> None:
    """From the next file on."""
    sandbox_child.SECONDS = sandbox_child.CPU_SECONDS = 0


def chatter() -> None:
    os.write(1, b"a warning that some library prints\n" * 1000)


FAULTS = {
    function.__name__.encode(): function for function in (crash, hang, spin, swell, hurry, chatter)
}
read_image = sandbox_child.read_image


def read_faulty_image(data: bytes) -> Image.Image:
    fault, _, rest = data.partition(b":")
    if fault in FAULTS:
        FAULTS[fault]()
        data = rest
    return read_image(data)


if __name__ == "__main__":
    sandbox_child.read_image = read_faulty_image  # type: ignore[assignment]
    sandbox_child.serve()
