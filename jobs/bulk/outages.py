"""Waiting until something that is away is there again."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections

from jobs.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

# A store or the queue; a database that is locked, or was started anew.
OUTAGES = (Unavailable, OperationalError, InterfaceError)
PATIENCE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 8.0
_Answer = TypeVar("_Answer")


def patiently(call: Callable[[], _Answer], *, sleep: Callable[[float], None]) -> _Answer:
    """
    Return what `call` returns, trying again while something is away; raises the last outage after about a minute.

    Only for what may be done twice.
    """
    pause, waited = 0.5, 0.0
    while True:
        try:
            return call()
        except OUTAGES:
            if waited >= PATIENCE_SECONDS:
                raise
        close_old_connections()
        sleep(pause)
        waited += pause
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
