"""HTTP and websockets in one ASGI application."""

import os
from typing import cast

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "imagen_site.settings")
# Before anything that imports models.
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from accounts.auth import account_auth_stack  # noqa: E402
from imagen_site.body_limit import Asgi, BodyLimit  # noqa: E402
from imagen_site.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(cast("Asgi", django_application)),
        "websocket": account_auth_stack(URLRouter(websocket_urlpatterns)),
    }
)
