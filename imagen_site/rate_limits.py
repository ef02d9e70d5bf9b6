"""How often an account may call the API: moving windows, by the `limits` library."""

from __future__ import annotations

import math
import time
from functools import cache
from typing import TYPE_CHECKING, cast

import structlog
from django.conf import settings
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:
    from limits.storage import Storage
    from rest_framework.request import Request
    from rest_framework.views import APIView

log = structlog.get_logger(__name__)
# After a failure Redis is left alone for this long.
_AWAY_SECONDS = 5.0


class Limiter:
    """
    Counts in the Redis of `url`, which web processes share; while that is away, or without one, in this process alone.

    So an outage of Redis refuses nobody, and lets nobody through without limit either.
    """

    def __init__(self, url: str) -> None:
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared = MovingWindowRateLimiter(_redis(url)) if url else None
        self._away_until = 0.0

    def hit(self, rate: RateLimitItem, *who: str) -> float:
        """Count a call; return 0.0 when it is within the rate, else how many seconds to wait."""
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return _hit(self._shared, rate, who)
            except StorageError as error:
                log.warning("rate_limits_away", error=type(error.storage_error).__name__)
                self._away_until = time.monotonic() + _AWAY_SECONDS
        return _hit(self._own, rate, who)


def _redis(url: str) -> Storage:
    # Waiting for it may cost a request this much, once in _AWAY_SECONDS.
    patience = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
    return cast("Storage", storage_from_string(url, wrap_exceptions=True, **patience))


def _hit(limiter: MovingWindowRateLimiter, rate: RateLimitItem, who: tuple[str, ...]) -> float:
    if limiter.hit(rate, *who):
        return 0.0
    return max(1.0, limiter.get_window_stats(rate, *who).reset_time - time.time())


@cache
def limiter() -> Limiter:
    return Limiter(settings.IMAGEN.redis_url)


@cache
def _rate(text: str) -> RateLimitItem:
    return parse(text)


class AccountThrottle(BaseThrottle):
    """Counts per account and per kind of call: POST submits, everything else reads."""

    def __init__(self) -> None:
        self._wait = 1.0

    def allow_request(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - DRF's signature
        account = getattr(request.user, "account", None)
        if account is None:
            return True
        kind = "submit" if request.method == "POST" else "read"
        rate = _rate(settings.IMAGEN.submit_rate if kind == "submit" else settings.IMAGEN.read_rate)
        self._wait = limiter().hit(rate, kind, str(account.pk))
        return self._wait == 0.0

    def wait(self) -> float:
        return math.ceil(self._wait)
