"""Every route of the webhooks service: no page, no API."""

from django.urls import path

from imagen_site import health

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
]
