"""The REST API of direct uploads: ask where to send a large photo, send it there, submit it by its upload_id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.auth import account_of
from jobs import adapters
from jobs.api import WRITE, BoundedJsonParser, problems
from jobs.direct_uploads import CONTENT_TYPES
from jobs.operations import MAX_FILENAME

if TYPE_CHECKING:
    from rest_framework.request import Request

_DESCRIPTION = (
    "For photos larger than what a form may have. Send the file with one PUT to `url`, with exactly these headers and "
    "that many bytes; then submit JSON with its `upload_id` beside the parameters, before `expires_at`. An upload is "
    "for one job. A PUT that is answered 409 or 412 has arrived before: go on and submit."
)


class UploadsApi(APIView):
    parser_classes = (BoundedJsonParser,)
    required_scopes = {"POST": WRITE}

    class Input(serializers.Serializer[Any]):
        filename = serializers.CharField(help_text=f"The bare name, at most {MAX_FILENAME} characters.")
        content_type = serializers.CharField(help_text=f"One of {', '.join(CONTENT_TYPES)}.")
        bytes = serializers.IntegerField(min_value=0, max_value=2**50, help_text="The file's exact size.")

        class Meta:
            ref_name = "UploadRequest"

    class Output(serializers.Serializer[Any]):
        upload_id = serializers.UUIDField()
        url = serializers.CharField()
        method = serializers.ChoiceField(choices=["PUT"])
        headers = serializers.DictField(child=serializers.CharField(), help_text="Send these with the PUT.")
        expires_at = serializers.DateTimeField(help_text="Until when it can be sent and submitted.")

        class Meta:
            ref_name = "Upload"

    @extend_schema(
        operation_id="open_upload",
        summary="Send a photo directly",
        description=_DESCRIPTION,
        request=Input,
        responses={201: Output, **problems(400, 401, 403, 413, 415, 422, 429, 503)},
    )
    def post(self, request: Request) -> Response:
        asked = self.Input(data=request.data)
        asked.is_valid(raise_exception=True)
        upload, slot = adapters.direct_uploads().open(
            account=account_of(request),
            filename=asked.validated_data["filename"],
            content_type=asked.validated_data["content_type"],
            size=asked.validated_data["bytes"],
            now=timezone.now(),
        )
        body = {
            "upload_id": str(upload.id),
            "url": request.build_absolute_uri(slot.url),
            "method": "PUT",
            "headers": dict(slot.headers),
            "expires_at": upload.expires_at.isoformat(),
        }
        return Response(body, status=201)
