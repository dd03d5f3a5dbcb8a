"""The cache on Redis, which the database stands in for while Redis cannot be reached.

What is kept there limits tries and uploads: without Redis these go on, and go on being limited.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

PAUSE = 10
"""Seconds before Redis is asked again: nobody is to wait for each of its timeouts."""


class SharedCache(RedisCache):
    asked_again_at = 0.0  # of the class, since each thread has a cache of its own


def _either(name: str) -> Callable[..., Any]:
    def method(self: SharedCache, *args: Any, **options: Any) -> Any:
        if time.monotonic() >= SharedCache.asked_again_at:
            try:
                return getattr(RedisCache, name)(self, *args, **options)
            except RedisError as error:
                SharedCache.asked_again_at = time.monotonic() + PAUSE
                logger.warning("Redis cannot be reached, the database stands in: %s", error)
        return getattr(caches["database"], name)(*args, **options)

    return method


for name in ("add", "get", "set", "touch", "delete", "incr", "has_key", "get_many", "set_many",
             "delete_many", "clear"):  # fmt: skip
    setattr(SharedCache, name, _either(name))
