"""Included at /api/v1/."""

from django.urls import path

from jobs import api, api_uploads
from jobs.operations import OPERATIONS

app_name = "jobs_api"

urlpatterns = [
    *(
        path(f"images/{operation.path}", api.submit_view(operation), name=operation.name)
        for operation in OPERATIONS.values()
    ),
    path("uploads", api_uploads.UploadsApi.as_view(), name="uploads"),
    path("jobs", api.ListApi.as_view(), name="list"),
    path("jobs/<uuid:job_id>", api.JobApi.as_view(), name="job"),
    path("jobs/<uuid:job_id>/cancel", api.CancelApi.as_view(), name="cancel"),
]
