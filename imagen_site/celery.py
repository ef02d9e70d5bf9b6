"""The Celery app: one queue per operation; settings are Django's CELERY_*."""

from __future__ import annotations

import os
import threading
from typing import Any

from celery import Celery
from celery.signals import worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "imagen_site.settings")

app = Celery("imagen")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["jobs"])


@worker_shutting_down.connect
def _drain(**_signal: Any) -> None:  # noqa: ANN401 - whatever Celery sends
    """Give running jobs a few seconds to end; then hand them back, so that the process ends before it is killed."""
    from django.conf import settings  # noqa: PLC0415 - this module is what starts Django

    from jobs import adapters  # noqa: PLC0415

    timer = threading.Timer(settings.IMAGEN.drain.total_seconds(), adapters.draining.set)
    timer.daemon = True
    timer.start()
