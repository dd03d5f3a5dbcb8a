"""Real servers for tests: the site itself, PostgreSQL and Redis, each in a folder of its own."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment with no setting of the site but the given ones."""
    names = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.M))
    kept = {name: value for name, value in os.environ.items() if name not in names}
    fixed = {"ENV_FILE": os.devnull, "DJANGO_SETTINGS_MODULE": "malariaweb.settings"}
    return kept | fixed | settings
