"""How often somebody may get a password wrong."""

import math
import time

from django.conf import settings
from django.http import HttpRequest
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from accounts.errors import TooManyAttempts
from accounts.models import UserManager


class SignInThrottle:
    """
    Counts sign-ins per e-mail and address in this process's memory; a success wipes the count.

    Per pair, so that a stranger who guesses at a password cannot lock its owner out from elsewhere.
    """

    def __init__(self, *, failures: int = 5, window_seconds: int = 900) -> None:
        self._limit = RateLimitItemPerSecond(failures, window_seconds, namespace="sign-in")
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)

    def begin(self, *, email: str, address: str) -> None:
        """
        Count an attempt, before its password is looked at: many at once must not slip through together.

        Raises TooManyAttempts after too many failures; a refused attempt does not lengthen the wait.
        """
        email = UserManager.normalize_email(email)
        if not self._limiter.hit(self._limit, email, address):
            reset_at = self._limiter.get_window_stats(self._limit, email, address).reset_time
            raise TooManyAttempts(retry_after=max(1, math.ceil(reset_at - time.time())))

    def succeed(self, *, email: str, address: str) -> None:
        self._limiter.clear(self._limit, UserManager.normalize_email(email), address)

    def forget_all(self) -> None:
        self._storage.reset()


sign_ins = SignInThrottle()


def client_address(request: HttpRequest) -> str:
    """
    Return the address of the peer, as the outermost proxy of ours saw it.

    Only the last TRUSTED_PROXIES entries of X-Forwarded-For were written by us; the rest says whatever a client likes.
    """
    trusted: int = settings.IMAGEN.trusted_proxies
    seen = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    if trusted and len(seen) >= trusted:
        return seen[-trusted]
    return str(request.META.get("REMOTE_ADDR", ""))
