"""Every request is a step of a trace, its sender's or one of its own, and every line that it logs says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobs import trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

# django-structlog binds these to every line as they come.
_IDS = ("HTTP_X_REQUEST_ID", "HTTP_X_CORRELATION_ID")
_USABLE = re.compile(r"[\w.:+/=-]{1,128}", re.ASCII)


class TraceMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        for name in _IDS:
            if not _USABLE.fullmatch(request.META.get(name, "")):
                # A log is no place for a stranger to write in: without it the request gets an id from us.
                request.META.pop(name, None)
        with trace.continued(request.headers):
            return self._get_response(request)
