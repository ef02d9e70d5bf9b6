"""Repair what a crash or an outage left, and delete what has expired: once, or again and again."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from signal import SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from jobs import adapters
from jobs.errors import JobError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import timedelta

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--every", action="store_true", help="go on, every SWEEP_SECONDS, until told to stop")

    def handle(self, *, every: bool, **options: Any) -> None:  # noqa: ANN401 - Django passes its own options too
        if not every:
            report = adapters.sweeper().sweep(now=timezone.now())
            self.stdout.write(", ".join(f"{name} {count}" for name, count in vars(report).items()))
            return
        # Not an Event: setting one in a signal handler hangs when this thread is just beginning to wait for it.
        stops: SimpleQueue[int] = SimpleQueue()
        for number in (SIGTERM, SIGINT):
            signal(number, lambda received, _: stops.put(received))
        self._sweep()
        while not _comes(stops, within=settings.IMAGEN.sweep_every):
            self._sweep()

    def _sweep(self) -> None:
        close_old_connections()
        try:
            adapters.sweeper().sweep(now=timezone.now())
        except (DatabaseError, JobError) as error:
            # A locked database or a store that is away: the next round tries again.
            log.warning("sweep_failed", error=type(error).__name__)
        finally:
            close_old_connections()


def _comes(stops: SimpleQueue[int], *, within: timedelta) -> bool:
    try:
        stops.get(timeout=within.total_seconds())
    except Empty:
        return False
    return True
