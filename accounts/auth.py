"""
Who is asking: a program by its API key, or a person by their session; over HTTP (DRF) and over websockets (Channels).

A key that is presented decides. If it is bad the answer is 401, even beside a good session: falling back in silence
would let a script work for as long as somebody happens to be signed in.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import urlsplit
from uuid import UUID

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.middleware import BaseMiddleware
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http.request import validate_host
from django.utils import timezone
from rest_framework import authentication, exceptions, permissions
from rest_framework.request import Request

from accounts import errors, services
from accounts.models import JOBS_READ, Account, ApiKey, User

if TYPE_CHECKING:
    # It imports this module, as a default of its own.
    from rest_framework.views import APIView

SCHEME = "Bearer"
KEY_HEADER = "X-API-Key"


@dataclass(frozen=True)
class KeyHolder:
    """What `request.user` is when a program asks: it has the account of its key, and is nobody in person."""

    key: ApiKey

    is_authenticated = True
    is_anonymous = False
    is_active = True
    is_staff = False

    @property
    def account(self) -> Account:
        return self.key.account

    @property
    def pk(self) -> UUID:
        return self.key.pk

    def __str__(self) -> str:
        return str(self.key)


def presented_key(*, authorization: str, x_api_key: str) -> str | None:
    """
    Return the key these two header values carry, None if they carry none.

    Other schemes than Bearer are none of ours: a proxy before us may ask for Basic. Raises InvalidApiKey when the
    headers name two different keys.
    """
    scheme, _, credentials = authorization.strip().partition(" ")
    bearer = credentials.strip() if scheme.lower() == SCHEME.lower() else None
    named = {key for key in (bearer, x_api_key.strip() or None) if key is not None}
    if len(named) > 1:
        raise errors.InvalidApiKey(f"Authorization and {KEY_HEADER} carry different keys; send one of them.")
    return named.pop() if named else None


def account_of(request: Request) -> Account:
    """Return the account that an authenticated API request is made for."""
    return cast("KeyHolder | User", request.user).account


class ApiKeyAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer img_…` or `X-API-Key: img_…`; `request.auth` is the ApiKey."""

    def authenticate(self, request: Request) -> tuple[KeyHolder, ApiKey] | None:
        try:
            text = presented_key(
                authorization=request.headers.get("Authorization", ""), x_api_key=request.headers.get(KEY_HEADER, "")
            )
            key = None if text is None else services.authenticate_key(text, now=timezone.now())
        except errors.InvalidApiKey as error:
            raise exceptions.AuthenticationFailed(str(error), code=error.code) from error
        return None if key is None else (KeyHolder(key), key)

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        # Without this DRF answers 403 to somebody who only forgot to say who they are.
        return f'{SCHEME} realm="api"'


class SessionAuthentication(authentication.SessionAuthentication):
    """A signed-in person in a browser; CSRF is enforced, and its refusal has a code of its own."""

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except exceptions.PermissionDenied as error:
            raise exceptions.PermissionDenied(str(error.detail), code="csrf_failed") from error


class HasScope(permissions.BasePermission):
    """
    The key has the scope that the view's `required_scopes` names for the method; a person has all scopes.

    `required_scopes = {"GET": "jobs:read", "POST": "jobs:write"}`; HEAD counts as GET. A view that is open to every
    key says so with None: `{"GET": None}`. Refuses with 403 and the code `scope_missing`.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not isinstance(request.auth, ApiKey):
            return bool(request.user and request.user.is_authenticated)
        scope = _required_scope(request, view)
        if scope is None or scope in request.auth.scopes:
            return True
        return self._refuse(scope)

    def _refuse(self, scope: str) -> NoReturn:
        error = errors.ScopeMissing(scope)
        raise exceptions.PermissionDenied(str(error), code=error.code) from error


def _required_scope(request: Request, view: "APIView") -> str | None:
    method = "GET" if request.method == "HEAD" else str(request.method)
    if method == "OPTIONS" or not hasattr(view, method.lower()):
        # The view has no answer of its own, so there is nothing to guard: 405 follows.
        return None
    scopes: dict[str, str | None] = getattr(view, "required_scopes", {})
    if method not in scopes:
        # A forgotten line must not open a view to every key.
        raise ImproperlyConfigured(f"{type(view).__name__}.required_scopes does not name {method}.")
    return scopes[method]


Scope = dict[str, Any]
Asgi = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[Any]]


class ApiKeyAuthMiddleware(BaseMiddleware):  # type: ignore[misc]
    """
    Set `scope["account"]` of a websocket: the account of its key or of its session, None for nobody.

    Every socket of ours only reads, so a key needs the scope `jobs:read`. Goes inside channels' own session and auth
    middleware; `account_auth_stack` puts all of them together.
    """

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> Any:  # noqa: ANN401
        account = await database_sync_to_async(_socket_account)(scope)
        return await self.inner({**scope, "account": account}, receive, send)


def account_auth_stack(inner: Asgi) -> Asgi:
    """
    Wrap a websocket application so that it finds `scope["account"]`.

    It needs no AllowedHostsOriginValidator around it, which refuses every program that sends no Origin: a session
    counts only when the Origin, which a browser always sends, is one of our hosts; a key needs none.
    """
    stack: Asgi = AuthMiddlewareStack(ApiKeyAuthMiddleware(inner))
    return stack


def _socket_account(scope: Scope) -> Account | None:
    try:
        text = presented_key(
            authorization=_header(scope, b"authorization"), x_api_key=_header(scope, KEY_HEADER.lower().encode())
        )
        key = None if text is None else services.authenticate_key(text, now=timezone.now())
    except errors.InvalidApiKey:
        return None
    if key is not None:
        return key.account if JOBS_READ in key.scopes else None
    return _session_account(scope)


def _session_account(scope: Scope) -> Account | None:
    # isinstance looks through channels' lazy wrapper.
    person = scope.get("user")
    if not isinstance(person, User) or not _from_our_page(_header(scope, b"origin")):
        return None
    return person.account


def _from_our_page(origin: str) -> bool:
    return not origin or validate_host(urlsplit(origin).hostname or "", settings.ALLOWED_HOSTS)


def _header(scope: Scope, name: bytes) -> str:
    # Names are lower case in ASGI; latin-1 decodes any byte.
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
