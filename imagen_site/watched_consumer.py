"""Celery's consumer, which says that it is well each time its loop comes round."""

from __future__ import annotations

from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer
from django.conf import settings

from imagen_site.liveness import Heart


class WatchedConsumer(Consumer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Celery's own
        super().__init__(*args, **kwargs)
        path = settings.IMAGEN.liveness_path
        self._heart = Heart(path, longest_job=settings.IMAGEN.longest_job) if path else None

    def perform_pending_operations(self) -> None:
        # The one thing of ours to override that the loop of a blocking transport calls each time.
        if self._heart is not None:
            self._heart.beat([request.time_start for request in list(state.active_requests)])
        super().perform_pending_operations()
