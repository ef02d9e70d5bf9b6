"""A gauge of the jobs that are not settled, asked of SQL while Prometheus waits, but neither often nor for long."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog
from django.db import connections
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from jobs.models import Job
from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from prometheus_client import Metric

log = structlog.get_logger(__name__)
_EVERY_SECONDS = 15.0
_PATIENCE_SECONDS = 2.0


class UnfinishedJobs(Collector):
    """
    How many jobs are not settled, and since when the oldest waits, by operation; one query, at most every 15 s.

    What a database that is away or slow keeps from it is left out of the answer; the rest of the scrape is there.
    """

    def __init__(
        self,
        count: Callable[[], Mapping[str, tuple[int, float]]] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._count, self._clock, self._patience = count or _count_and_disconnect, clock, patience
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unfinished-jobs")
        self._asking = threading.Lock()
        self._answer: Future[Mapping[str, tuple[int, float]]] | None = None
        self._asked_at = 0.0

    def collect(self) -> Iterator[Metric]:
        try:
            found = self._ask().result(timeout=self._patience)
        # The edge of a thread of the library's, which would answer the whole scrape with 500.
        except Exception as error:  # noqa: BLE001
            log.warning("jobs_not_counted", error=type(error).__name__)
            return
        number = GaugeMetricFamily("imagen_jobs_unfinished", "Jobs accepted and not settled.", labels=["operation"])
        oldest = GaugeMetricFamily(
            "imagen_job_oldest_unfinished_seconds",
            "The age of the oldest job that is not settled.",
            labels=["operation"],
        )
        for operation, (jobs, seconds) in found.items():
            number.add_metric([operation], jobs)
            oldest.add_metric([operation], seconds)
        yield from (number, oldest)

    def describe(self) -> Iterator[Metric]:
        """Return nothing: else the registry would ask the database when it is told of this collector."""
        yield from ()

    def _ask(self) -> Future[Mapping[str, tuple[int, float]]]:
        with self._asking:
            fresh = self._clock() - self._asked_at < _EVERY_SECONDS
            # A question that is still open is not asked again: a database that hangs has one of ours, not many.
            if self._answer is None or (self._answer.done() and not fresh):
                self._answer, self._asked_at = self._thread.submit(self._count), self._clock()
            return self._answer


def unfinished_jobs() -> dict[str, tuple[int, float]]:
    """Return for each operation its number of unsettled jobs, and how many seconds ago the oldest was accepted."""
    now = timezone.now()
    rows = Job.objects.unsettled().order_by().values_list("operation").annotate(Count("id"), Min("requested_at"))
    found = {operation: (number, max(0.0, (now - oldest).total_seconds())) for operation, number, oldest in rows}
    return {**dict.fromkeys(OPERATIONS, (0, 0.0)), **found}


def _count_and_disconnect() -> dict[str, tuple[int, float]]:
    try:
        return unfinished_jobs()
    finally:
        connections.close_all()
