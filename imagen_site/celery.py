"""The Celery app: one queue per operation; settings are Django's CELERY_*."""

from __future__ import annotations

import os
import threading
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "imagen_site.settings")

app = Celery("imagen")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["jobs"])


@setup_logging.connect
def _keep_our_logging(**_signal: Any) -> None:  # noqa: ANN401 - whatever Celery sends
    """Be there: while anybody listens to this signal, Celery leaves the logging that Django set up alone."""


@worker_init.connect
def _let_be_watched(**_signal: Any) -> None:  # noqa: ANN401 - whatever Celery sends
    from django.conf import settings

    # Now, and not in the first job's time: what a job needs takes a second to import.
    from imagen_site import metrics
    from jobs import adapters  # noqa: F401

    metrics.serve(settings.IMAGEN)
    if settings.IMAGEN.tracing:
        from imagen_site import telemetry

        telemetry.start("worker")


@worker_shutting_down.connect
def _drain(**_signal: Any) -> None:  # noqa: ANN401 - whatever Celery sends
    """Give running jobs a few seconds to end; then hand them back, so that the process ends before it is killed."""
    from django.conf import settings

    from jobs import adapters

    timer = threading.Timer(settings.IMAGEN.drain.total_seconds(), adapters.draining.set)
    timer.daemon = True
    timer.start()
