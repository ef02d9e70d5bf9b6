"""The lines of a request, by django-structlog, which must not break what they tell of."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from django.db import InterfaceError, OperationalError
from django_structlog.middlewares import RequestMiddleware

if TYPE_CHECKING:
    from django.http import HttpRequest


class RequestLogMiddleware(RequestMiddleware):
    @staticmethod
    def bind_user_id(request: HttpRequest) -> None:
        """Name the person in the request's lines, unless the database that knows them is away."""
        # It asks once more when the answer is ready: without this, "try again in a few seconds" became a bare 500.
        with suppress(OperationalError, InterfaceError):
            RequestMiddleware.bind_user_id(request)
