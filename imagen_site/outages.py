"""A page that needs what is away just now says so and when to come back: 503, never "something went wrong"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin

from imagen_site.api_errors import RETRY_AFTER_OUTAGE_SECONDS
from jobs.errors import Unavailable

if TYPE_CHECKING:
    from django.http import HttpRequest

log = structlog.get_logger(__name__)


class OutageMiddleware(MiddlewareMixin):
    """Answers for pages; views of the API answer for themselves, as problem details."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:  # noqa: ARG002
        if not isinstance(error, Unavailable | OperationalError | InterfaceError):
            return None
        log.error("page_without_its_store", exc_info=error)
        said = str(error) if isinstance(error, Unavailable) else "The database does not answer."
        # Without the request: who is signed in is in the database, which may be what is away.
        detail = f"{said.rstrip('.')}. Nothing is lost: try again in a few seconds."
        page = render_to_string("error.html", {"status": 503, "detail": detail})
        return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_AFTER_OUTAGE_SECONDS)})
