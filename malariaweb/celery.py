"""The Celery app: `celery -A malariaweb worker`."""

import logging
import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "malariaweb.settings")
TRANSPORT_ALIASES["files"] = "malariaweb.filebroker:Transport"

logger = logging.getLogger(__name__)

app = Celery("malariaweb")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
