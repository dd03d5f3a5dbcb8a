"""Text as it comes in: what no database can keep is refused before anything is done with it."""

import json
from collections.abc import Iterator
from typing import Any

UNKEPT = "\0"
"""PostgreSQL has no place for it; and half a character of UTF-16, which JSON can spell, has no
bytes at all."""


def is_clean(value: Any) -> bool:
    """Whether every text in it, however deep, can be kept and shown."""
    return all(UNKEPT not in text and _has_bytes(text) for text in _texts(value))


def read_json(body: str | bytes) -> Any:
    """Raises ValueError for what is no JSON, is nested without end or holds unclean text."""
    try:
        value = json.loads(body, parse_constant=_refuse)
        clean = is_clean(value)
    except RecursionError:
        raise ValueError("Nested too deeply.") from None
    if not clean:
        raise ValueError("Text that cannot be kept.")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from _texts(pair)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _has_bytes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
