"""Where images are kept on this host's own disk."""

from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage

from ml.durable import sync


class DurableStorage(FileSystemStorage):
    """What is stored stays, also when the power fails just then."""

    def _save(self, name: str, content: Any) -> str:
        saved: str = super()._save(name, content)  # type: ignore[misc]
        file, root = Path(self.path(saved)), Path(self.location)
        sync(file)
        for folder in file.parents:  # each may be new
            sync(folder)
            if folder == root:
                break
        return saved
