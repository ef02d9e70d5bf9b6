"""The pages: submit a photo, watch a job, list them, cancel; and the files of the local profile."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from jobs import adapters
from jobs.errors import BadLink

if TYPE_CHECKING:
    from django.http import HttpRequest


@require_GET
@login_required
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "jobs/home.html", {})


@require_GET
def file(request: HttpRequest, signed: str) -> FileResponse:  # noqa: ARG001 - the link itself is the permission
    """Serve what a signed link names."""
    try:
        content, filename = adapters.file_storage().open_link(signed)
    except BadLink as error:
        raise Http404 from error
    kind = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    # Never inline: what people upload must not run as a page of ours.
    response = FileResponse(content, as_attachment=True, filename=filename, content_type=kind)
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, max-age=3600, immutable"
    return response
