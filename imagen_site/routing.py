"""Every websocket."""

from django.urls import path, re_path

from jobs.consumers import JobConsumer, JobsConsumer, NowhereConsumer

websocket_urlpatterns = [
    path("ws/jobs/", JobsConsumer.as_asgi()),
    path("ws/jobs/<uuid:job_id>/", JobConsumer.as_asgi()),
    re_path("", NowhereConsumer.as_asgi()),
]
# The webhooks service looks nobody up, and so has no socket for anybody.
no_websockets = websocket_urlpatterns[-1:]
