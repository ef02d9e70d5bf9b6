"""Every route of the webhooks service: what other machines call. No page, no API, no websocket."""

from django.urls import path

from imagen_site import health, pages
from jobs.push import DeadLettersPush, JobEventsPush, Sweep

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    # Named after what pushes to them.
    path("push/job-events", JobEventsPush.as_view(), name="push_job_events"),
    path("push/dead-letter-jobs", DeadLettersPush.as_view(), name="push_dead_letters"),
    path("push/sweep", Sweep.as_view(), name="push_sweep"),
]

handler400 = pages.bad_request
handler403 = pages.forbidden
handler404 = pages.not_found
handler500 = pages.broken
