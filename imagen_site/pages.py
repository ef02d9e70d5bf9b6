"""What is answered where no view is: problem details to programs, a page to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from imagen_site.api_errors import CONTENT_TYPE, problem

if TYPE_CHECKING:
    from django.http import HttpRequest


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    return _answer(request, 400, "malformed", "The request could not be read.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    return _answer(request, 403, "permission_denied", "You may not do this.")


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's signature
    return _answer(request, 403, "csrf_failed", "This form is too old or not ours. Load the page again and repeat it.")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    return _answer(request, 404, "not_found", "There is nothing at this address.")


def broken(request: HttpRequest) -> HttpResponse:
    detail = "Something went wrong on our side. Nothing was charged."
    if _for_a_program(request):
        return _answer(request, 500, "internal", detail)
    # Without the request: who is signed in is in the database, which may be what is broken.
    return HttpResponse(render_to_string("error.html", {"status": 500, "detail": detail}), status=500)


def _answer(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    if _for_a_program(request):
        return JsonResponse(problem(status, code, detail), status=status, content_type=CONTENT_TYPE)
    return render(request, "error.html", {"status": status, "detail": detail}, status=status)


def _for_a_program(request: HttpRequest) -> bool:
    # The webhooks service has no pages, whatever it is asked for.
    return settings.IMAGEN.service == "webhooks" or request.path.startswith("/api/")
