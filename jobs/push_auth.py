"""
Who may push to us: Google, by an OIDC token that is made out to us and to nobody else.

A token is taken when it is signed by Google now, made out to our audience, issued by Google, and speaks for one of the
service accounts that we name, whose address Google has verified.
"""

from __future__ import annotations

import hmac
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from google.auth import jwt
from google.auth.exceptions import GoogleAuthError

from jobs.errors import InvalidPushToken, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from google.auth.transport import Request

log = structlog.get_logger(__name__)

CERTIFICATES_URL = "https://www.googleapis.com/oauth2/v1/certs"
ISSUERS = frozenset({"accounts.google.com", "https://accounts.google.com"})
# Tokens of Google have less than a thousand characters.
_MAX_TOKEN = 8_192
_CLOCK_SKEW_SECONDS = 30
_FETCH_SECONDS = 5
_DEFAULT_AGE_SECONDS = 3_600
# An unknown key may be a new one, or a forgery: for either, Google is asked at most this often.
_ASK_AGAIN_SECONDS = 60
# Google announces a key days before it signs with it, and keeps a retired one about as long.
_STALE_SECONDS = 24 * 3_600


class PushAuth(Protocol):
    def check(self, *, authorization: str, token: str) -> None:
        """
        Let a push pass, by its Authorization header and the `token` of its address.

        Raises InvalidPushToken; Unavailable when it cannot be told now.
        """


class OidcTokens:
    """Takes tokens of Google that are made out to `audience` and speak for one of `accounts`."""

    def __init__(self, *, audience: str, accounts: Collection[str], certificates: Certificates) -> None:
        self._audience, self._accounts, self._certificates = audience, frozenset(accounts), certificates

    def check(self, *, authorization: str, token: str) -> None:  # noqa: ARG002 - PushAuth's signature
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not 0 < len(text) <= _MAX_TOKEN:
            raise InvalidPushToken("A push needs a bearer token.")
        claims = self._signed_claims(text)
        if str(claims.get("iss")) not in ISSUERS:
            raise InvalidPushToken("The token is not issued by Google.")
        if claims.get("email_verified") is not True or str(claims.get("email")) not in self._accounts:
            raise InvalidPushToken("The token speaks for an account that may not push here.")

    def _signed_claims(self, text: str) -> Mapping[str, Any]:
        try:
            key_id = jwt.decode_header(text).get("kid")
            certificates = self._certificates.having(key_id if isinstance(key_id, str) else "")
            # Checks the signature, iat, exp and aud.
            claims: Mapping[str, Any] = jwt.decode(
                text, certs=certificates, audience=self._audience, clock_skew_in_seconds=_CLOCK_SKEW_SECONDS
            )
        except (GoogleAuthError, ValueError, TypeError, AttributeError) as error:
            # The last two: a part of the token is JSON but no object, or a claim is of another type.
            raise InvalidPushToken("The token is not valid.") from error
        return claims


class Certificates:
    """Google's public keys, fetched when they are needed, kept as long as Google says."""

    def __init__(
        self, fetch: Callable[[], Request], *, url: str = CERTIFICATES_URL, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`fetch` makes what asks, when it is first needed; `clock` counts seconds."""
        self._make_request, self._url, self._clock = fetch, url, clock
        self._lock = threading.Lock()
        self._known: Mapping[str, str] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._fresh_until = float("-inf")

    def having(self, key_id: str) -> Mapping[str, str]:
        """
        Return the certificate of this key by its id, nothing when Google has no such key.

        Raises Unavailable when Google does not answer and what is known is too old.
        """
        with self._lock:
            now = self._clock()
            if now >= self._fresh_until or (key_id not in self._known and now - self._asked_at >= _ASK_AGAIN_SECONDS):
                self._refresh(now)
            return {name: text for name, text in self._known.items() if name == key_id}

    def _refresh(self, now: float) -> None:
        if now - self._asked_at >= (_ASK_AGAIN_SECONDS if self._known else 1):
            self._asked_at = now
            try:
                self._fetch(now)
            except (GoogleAuthError, ValueError, TypeError) as error:
                log.warning("push_certificates_away", error=type(error).__name__)
        if now - self._fetched_at > _STALE_SECONDS:
            raise Unavailable("Google's keys cannot be fetched now.")

    def _fetch(self, now: float) -> None:
        answer = self._make_request()(self._url, method="GET", timeout=_FETCH_SECONDS)
        if answer.status != 200:
            raise ValueError(f"Google answered {answer.status}")
        found = json.loads(answer.data)
        if not isinstance(found, dict) or not found:
            raise ValueError("not a table of certificates")
        self._known, self._fetched_at = {str(name): str(text) for name, text in found.items()}, now
        headers = {name.lower(): value for name, value in answer.headers.items()}
        self._fresh_until = now + _age(headers.get("cache-control", ""))


class SharedToken:
    """
    Takes a token that is part of the address pushed to.

    For the emulator of Pub/Sub alone, which signs nothing; it stays on the machine.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def check(self, *, authorization: str, token: str) -> None:  # noqa: ARG002 - PushAuth's signature
        if not self._token or not hmac.compare_digest(self._token, token.encode()):
            raise InvalidPushToken("A push needs the token of this site in its address.")


def _age(cache_control: str) -> float:
    found = re.search(r"max-age=(\d{1,9})", cache_control)
    return min(int(found[1]), _STALE_SECONDS) if found else _DEFAULT_AGE_SECONDS
