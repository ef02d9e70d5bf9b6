"""How often an account may call the API: moving windows, by the `limits` library."""

from __future__ import annotations

import math
import time
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


@cache
def limiter() -> MovingWindowRateLimiter:
    # One web process on one machine; several will need a store that they share.
    return MovingWindowRateLimiter(MemoryStorage())


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
        if limiter().hit(rate, kind, str(account.pk)):
            return True
        self._wait = max(1.0, limiter().get_window_stats(rate, kind, str(account.pk)).reset_time - time.time())
        return False

    def wait(self) -> float:
        return math.ceil(self._wait)
