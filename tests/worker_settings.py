"""The site's settings with shorter waits, for tests that kill workers."""

from malariaweb.settings import *  # noqa: F403

CELERY_TASK_SOFT_TIME_LIMIT = 3
CELERY_TASK_TIME_LIMIT = ANALYSIS_TIME_LIMIT = 4
LEASE_SECONDS = 6
SWEEP_SECONDS = 1
