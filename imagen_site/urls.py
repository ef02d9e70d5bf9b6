"""Every route of the site."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView

from imagen_site import docs, health, pages

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("api/v1/docs", docs.ApiDocs.as_view(url_name="openapi"), name="docs"),
    path("api/v1/", include("billing.api_urls")),
    path("api/v1/", include("jobs.api_urls")),
    path("", include("accounts.urls")),
    path("", include("billing.urls")),
    path("", include("jobs.urls")),
]

handler400 = pages.bad_request
handler403 = pages.forbidden
handler404 = pages.not_found
handler500 = pages.broken
