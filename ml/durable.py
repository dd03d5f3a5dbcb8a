"""What was written is on the disk before anybody relies on it, whenever the power fails."""

import errno
import os
from pathlib import Path

CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP)


def sync(path: Path | str) -> None:
    """A file's content; or of a folder, which names it holds."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:  # some network file systems cannot, for folders
            raise
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes | memoryview) -> None:
    """Whatever happens, `path` is whole: the old file or the new one."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        temporary.write_bytes(content)
        sync(temporary)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)
