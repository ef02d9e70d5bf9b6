"""/livez: this process answers. /readyz: it can accept work; whether the model server is there is told beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import Error, connection
from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from inference.errors import InferenceError
from jobs import adapters
from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

_PROBES = frozenset({"/livez", "/readyz"})


def answer_probes_by_any_name(respond: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """
    Let a probe pass whatever host it names.

    Who probes a container names it by an address of its own, which is none of ALLOWED_HOSTS: the answer would be 400.
    """
    # Not SITE_URL's: the webhooks service is told of the site's, and has another one itself.
    host = settings.ALLOWED_HOSTS[0]

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path_info in _PROBES:
            request.META["HTTP_HOST"] = host
        return respond(request)

    return middleware


@csrf_exempt
@require_safe
def livez(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return HttpResponse("ok", content_type="text/plain")


@csrf_exempt
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """
    Answer 200 when jobs can be accepted, else 503.

    A model server that is away does not count: jobs are accepted and wait for it.
    """
    database = database_answers()
    body = {"ready": database, "database": database, "models": models_ready()}
    return JsonResponse(body, status=200 if database else 503)


def models_ready() -> dict[str, bool]:
    """Return for each operation whether its model can be asked now; nothing where this process may not ask."""
    if not settings.IMAGEN.triton_url:
        return {}
    # All at once: a model server that hangs costs one wait and not one for each model.
    with ThreadPoolExecutor(len(OPERATIONS)) as pool:
        ready = pool.map(_model_is_ready, [operation.model for operation in OPERATIONS.values()])
        return dict(zip(OPERATIONS, ready, strict=True))


def database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    # Not DatabaseError: a connection that was lost raises InterfaceError, which is none.
    except Error:
        return False
    return True


def _model_is_ready(model: str) -> bool:
    try:
        return adapters.inference_client().ready(model)
    except InferenceError:
        return False
