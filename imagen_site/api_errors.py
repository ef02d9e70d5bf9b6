"""Our error class -> HTTP status, in one table; and every error of the API as problem details (RFC 9457)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.http.request import RawPostDataException
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

import accounts.errors
import billing.errors
import jobs.errors

if TYPE_CHECKING:
    from collections.abc import Mapping

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"

STATUS: Mapping[type[Exception], int] = {
    accounts.errors.InvalidApiKey: 401,
    jobs.errors.InvalidPushToken: 401,
    billing.errors.InsufficientCredits: 402,
    jobs.errors.JobNotFound: 404,
    jobs.errors.BadLink: 404,
    jobs.errors.ObjectMissing: 404,
    jobs.errors.UploadNotFound: 404,
    jobs.errors.IllegalMove: 409,
    jobs.errors.UploadIncomplete: 409,
    jobs.errors.UploadSent: 409,
    jobs.errors.UploadUsed: 409,
    jobs.errors.UploadExpired: 410,
    jobs.errors.UploadMismatch: 422,
    jobs.errors.InvalidParameters: 422,
    jobs.errors.IdempotencyKeyReused: 422,
    jobs.errors.InvalidIdempotencyKey: 422,
    jobs.errors.AccountClosed: 403,
    jobs.errors.TooManyJobs: 429,
    jobs.errors.TooManySubmits: 429,
    jobs.errors.TooManyUploads: 429,
    jobs.errors.ImageMissing: 400,
    jobs.errors.SeveralImages: 400,
    jobs.errors.EmptyFile: 400,
    jobs.errors.BadFilename: 422,
    jobs.errors.BadSide: 422,
    jobs.errors.BadImageUrl: 422,
    jobs.errors.ImageUrlUnreachable: 422,
    jobs.errors.FileTooLarge: 413,
    jobs.errors.TooManyPixels: 413,
    jobs.errors.NotAnImage: 415,
    jobs.errors.IncompleteImage: 415,
    jobs.errors.Unavailable: 503,
}
_TITLES: Mapping[int, str] = {
    400: "Malformed request",
    401: "Not authenticated",
    402: "Not enough credits",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid parameters",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}
RETRY_AFTER_OUTAGE_SECONDS = 5


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Mapping[str, list[str]] | None = None,
) -> dict[str, Any]:
    """Return the body of a problem response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
    }
    if errors:
        body["errors"] = dict(errors)
    return body


def status_of(error: Exception) -> int | None:
    """Return the status of one of our errors, by its nearest class in the table."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turn whatever an API view raised into a problem response: DRF's EXCEPTION_HANDLER."""
    set_rollback()
    response = _ours(error) or _framework(error) or _outage(error)
    if response is None:
        log.error("api_view_broke", view=type(context.get("view")).__name__, exc_info=error)
        response = _answer(500, "internal", "Something went wrong on our side. Nothing was charged.")
    return response


def _ours(error: Exception) -> Response | None:
    status = status_of(error)
    if status is None:
        return None
    response = _answer(status, error.code, str(error), errors=getattr(error, "errors", None))  # type: ignore[attr-defined]
    if status == 503:
        response["Retry-After"] = str(RETRY_AFTER_OUTAGE_SECONDS)
    if isinstance(error, jobs.errors.OverQuota):
        response["Retry-After"] = str(error.retry_after)
    if status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="api"'
    return response


# What Django itself raises; the nearest class decides.
_DJANGO: Mapping[type[Exception], tuple[int, str, str]] = {
    Http404: (404, "not_found", "There is nothing at this address."),
    PermissionDenied: (403, "permission_denied", "You may not do this."),
    RequestDataTooBig: (413, "form_too_large", "The text of the form is too large; send the photo as a file."),
    SuspiciousOperation: (400, "malformed", "The request could not be read."),
    RawPostDataException: (400, "malformed", "The request could not be read."),
}


def _framework(error: Exception) -> Response | None:
    djangos = next((_DJANGO[kind] for kind in type(error).__mro__ if kind in _DJANGO), None)
    if djangos is not None:
        return _answer(*djangos)
    if isinstance(error, exceptions.ValidationError):
        return _answer(422, "invalid_parameters", "Some parameters are not right.", errors=_sentences(error.detail))
    if not isinstance(error, exceptions.APIException):
        return None
    code = error.get_codes()
    response = _answer(error.status_code, _CODES.get(str(code), str(code)), str(error.detail))
    if isinstance(error, exceptions.Throttled):
        response["Retry-After"] = str(max(1, int(getattr(error, "wait", None) or 1)))
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    return response


# DRF's own names where the field has a better one.
_CODES: Mapping[str, str] = {
    "parse_error": "malformed",
    "throttled": "too_many_requests",
    "authentication_failed": "invalid_api_key",
}


def _sentences(detail: Any) -> dict[str, list[str]]:  # noqa: ANN401 - DRF nests lists and dicts
    if isinstance(detail, dict):
        return {str(name): [str(line) for line in lines] for name, lines in detail.items()}
    return {"request": [str(line) for line in detail]}


def _outage(error: Exception) -> Response | None:
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    log.error("database_away", exc_info=error)
    return _ours(jobs.errors.Unavailable("The database does not answer; try again in a few seconds."))


def _answer(status: int, code: str, detail: str, *, errors: Mapping[str, list[str]] | None = None) -> Response:
    body = problem(status, code, detail, errors=errors)
    return Response(body, status=status, content_type=CONTENT_TYPE)
