"""HTTP and websockets in one ASGI application."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any, cast

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.core.handlers.asgi import ASGIRequest
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "imagen_site.settings")
# Before anything that imports models.
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from accounts.auth import account_auth_stack  # noqa: E402
from imagen_site import metrics  # noqa: E402
from imagen_site.body_limit import Asgi, BodyLimit  # noqa: E402
from imagen_site.routing import no_websockets, websocket_urlpatterns  # noqa: E402
from imagen_site.unfinished_jobs import UnfinishedJobs  # noqa: E402
from imagen_site.upload_door import UploadDoor  # noqa: E402
from jobs import adapters  # noqa: E402


class OneHopHandler(ASGIHandler):
    """
    Django's handler, with all middleware and the view in one thread at a stretch.

    None of ours is asynchronous. Left alone, Django would change between the event loop and a thread twice for each
    middleware, some twenty times a request, which took longer than the request itself.
    """

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Django's signature
        super().load_middleware(is_async=False)
        chain: Callable[[HttpRequest], HttpResponse] = self._middleware_chain  # type: ignore[has-type]
        self._middleware_chain = sync_to_async(chain, thread_sensitive=True)

    def create_request(
        self, scope: Mapping[str, Any], body_file: IO[bytes]
    ) -> tuple[ASGIRequest, None] | tuple[None, HttpResponseBase]:
        """
        Say how long a body is that came in chunks, without a length of its own.

        All of it has been read by now; told nothing, Django's form parser would take it for empty.
        """
        if not any(name == b"content-length" for name, _ in scope["headers"]):
            length = body_file.seek(0, os.SEEK_END)
            body_file.seek(0)
            scope = {**scope, "headers": [*scope["headers"], (b"content-length", str(length).encode())]}
        return super().create_request(scope, body_file)


metrics.serve(settings.IMAGEN, UnfinishedJobs())
if settings.IMAGEN.tracing:
    from imagen_site import telemetry

    telemetry.start("webhooks" if settings.IMAGEN.service == "webhooks" else "web")

if settings.IMAGEN.cloud is not None:
    # Now, and not in the first person's time: Google's libraries take a second to import.
    adapters.job_service()


def _websockets() -> Asgi:
    if settings.IMAGEN.service == "webhooks":
        return cast("Asgi", URLRouter(no_websockets))
    return account_auth_stack(URLRouter(websocket_urlpatterns))


application = ProtocolTypeRouter(
    {
        "http": UploadDoor(BodyLimit(cast("Asgi", OneHopHandler())), adapters.upload_door),
        "websocket": _websockets(),
    }
)
