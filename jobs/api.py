"""The REST API of jobs: submit, look, list, cancel."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import QueryDict
from django.http.multipartparser import MultiPartParser as DjangoMultiPartParser
from django.http.multipartparser import MultiPartParserError
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import parsers, serializers
from rest_framework.exceptions import ParseError
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from accounts.auth import account_of
from jobs import adapters, queries, uploads
from jobs.errors import BadImageUrl, ImageMissing, InvalidParameters, SeveralImages
from jobs.operations import OPERATIONS
from jobs.states import JobStatus, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from rest_framework.request import Request

    from jobs.models import Job
    from jobs.operations import Operation

READ, WRITE = "jobs:read", "jobs:write"
PAGE, MAX_PAGE = 20, 100


class ImageOut(serializers.Serializer[Any]):
    filename = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    bytes = serializers.IntegerField()
    format = serializers.CharField()
    url = serializers.CharField(allow_null=True, help_text="Signed, for about an hour; null once deleted.")


class ErrorOut(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class EngineOut(serializers.Serializer[Any]):
    """What made the result. `version` rises whenever the same input gives other pixels."""

    name = serializers.CharField()
    version = serializers.CharField()
    weights_sha256 = serializers.CharField(help_text="Empty for an engine without weights.")


class DeviceOut(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="cpu or cuda.")
    name = serializers.CharField()
    precision = serializers.CharField(help_text="fp32 or fp16.")


class ProvenanceOut(serializers.Serializer[Any]):
    """How the engine made the result."""

    device = DeviceOut(allow_null=True)
    batch_size = serializers.IntegerField(
        allow_null=True, help_text="The most requests that shared a forward pass with this one, itself included."
    )
    seconds = serializers.DictField(child=serializers.FloatField(), help_text="Inside the model server, per stage.")
    parameters = serializers.DictField(
        help_text="As the engine took them: what `params` left open, the seed and steps among it, has a value here. "
        "A prompt is here only where the engine took another than `params` has.",
    )
    checks = serializers.DictField(help_text="Figures that tell how far to trust the result.")
    warnings = serializers.ListField(child=serializers.CharField())


class JobOut(serializers.Serializer[Any]):
    """A job, in the one shape that the API, the page and the sockets share."""

    job_id = serializers.UUIDField()
    operation = serializers.ChoiceField(choices=list(OPERATIONS))
    params = serializers.DictField()
    status = serializers.ChoiceField(choices=[status.value for status in JobStatus])
    version = serializers.IntegerField(help_text="Rises with every change; drop a snapshot older than one you have.")
    stage = serializers.ChoiceField(choices=[stage.value for stage in Stage])
    progress = serializers.IntegerField(min_value=0, max_value=100)
    attempt = serializers.IntegerField()
    preview = serializers.CharField(allow_null=True, help_text="A small JPEG as a data URI: of the work so far.")
    credits = serializers.IntegerField(help_text="Charged when the job completes, and only then.")
    input = ImageOut()
    output = ImageOut(allow_null=True)
    error = ErrorOut(allow_null=True)
    engine = EngineOut(allow_null=True)
    provenance = ProvenanceOut(allow_null=True)
    timings = serializers.DictField(child=serializers.FloatField(), help_text="Seconds per stage.")
    parent = serializers.UUIDField(allow_null=True)  # type: ignore[assignment]
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(help_text="When the images are deleted.")


class ProblemOut(serializers.Serializer[Any]):
    """Problem details (RFC 9457). `code` is stable; texts may change."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
    )


def problems(*statuses: int) -> dict[tuple[int, str], type[ProblemOut]]:
    return {(status, "application/problem+json"): ProblemOut for status in statuses}


class _NamingParser(DjangoMultiPartParser):
    def sanitize_file_name(self, file_name: str) -> str | None:
        # Django would cut the path off in silence; whoever sends one should hear of it.
        uploads.check_filename(file_name)
        return super().sanitize_file_name(file_name)


class UploadParser(parsers.MultiPartParser):
    """multipart/form-data; raises BadFilename for a file whose name is a path or too long."""

    def parse(
        self,
        stream: Any,  # noqa: ANN401 - DRF's own signature
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> parsers.DataAndFiles[Any, Any]:
        request = (parser_context or {})["request"]
        meta = {**request.META, "CONTENT_TYPE": media_type}
        try:
            parser = _NamingParser(meta, stream, request.upload_handlers, request.encoding or "utf-8")
            return parsers.DataAndFiles(*parser.parse())
        except MultiPartParserError as error:
            raise ParseError(f"The form could not be read: {error}") from error


class BoundedJsonParser(parsers.JSONParser):
    """application/json of at most as much text as a form may have."""

    def parse(
        self,
        stream: Any,  # noqa: ANN401 - DRF's own signature
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        content = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(content) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig
        try:
            return super().parse(io.BytesIO(content), media_type, parser_context)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error


class SubmitApi(APIView):
    """Accept a photo for one operation; a subclass for each is made by `submit_view`."""

    operation: Operation
    parser_classes = (UploadParser, BoundedJsonParser)
    required_scopes = {"POST": WRITE}

    def submit(self, request: Request) -> Response:
        data = request.data
        job = self._submit_form(request, data) if isinstance(data, QueryDict) else self._submit_json(request, data)
        return Response(_view(job), status=202, headers={"Location": reverse("jobs_api:job", args=[job.id])})

    def _submit_json(self, request: Request, data: object) -> Job:
        if not isinstance(data, dict):
            raise ParseError("The JSON must be an object.")
        values = {**data}
        image_url, upload_id = values.pop("image_url", None), values.pop("upload_id", None)
        if image_url and upload_id:
            raise SeveralImages
        if upload_id:
            return self._submit_upload(request, values, upload_id)
        if not image_url:
            raise ImageMissing
        if not isinstance(image_url, str):
            raise BadImageUrl
        return adapters.job_service().submit_image_url(
            account=account_of(request),
            operation=self.operation,
            values=values,
            image_url=image_url,
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            now=timezone.now(),
        )

    def _submit_upload(self, request: Request, values: dict[str, Any], upload_id: object) -> Job:
        return adapters.direct_uploads().submit(
            account=account_of(request),
            operation=self.operation,
            values=values,
            upload_id=upload_id,
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            now=timezone.now(),
        )

    def _submit_form(self, request: Request, data: QueryDict) -> Job:
        service = adapters.job_service()
        content, filename = uploads.the_file(request.FILES, limits=service.limits_of(account_of(request)))
        submission = service.understand(
            account=account_of(request),
            operation=self.operation,
            values=_fields(data),
            content=content,
            filename=filename,
            idempotency_key=request.headers.get("Idempotency-Key", ""),
        )
        return service.submit(submission, now=timezone.now())


def _fields(data: QueryDict) -> dict[str, Any]:
    twice = [name for name, values in data.lists() if len(values) > 1]
    if twice:
        raise InvalidParameters({name: ["Given more than once."] for name in twice})
    return {name: value for name, value in data.items() if isinstance(value, str)}


def _view(job: Job) -> dict[str, Any]:
    return queries.current_view(job, states=adapters.state_store(), sign=adapters.sign_link)


class JobApi(APIView):
    required_scopes = {"GET": READ}

    @extend_schema(
        operation_id="get_job", summary="One job", responses={200: JobOut, **problems(401, 403, 404, 429, 503)}
    )
    def get(self, request: Request, job_id: UUID) -> Response:
        return Response(_view(queries.find_job(account=account_of(request), job_id=job_id)))


class CancelApi(APIView):
    required_scopes = {"POST": WRITE}

    @extend_schema(
        operation_id="cancel_job",
        summary="Cancel a job that has not ended",
        description="Releases its credits. Cancelling twice is harmless; a finished job answers 409.",
        request=None,
        responses={200: JobOut, **problems(401, 403, 404, 409, 429, 503)},
    )
    def post(self, request: Request, job_id: UUID) -> Response:
        job = queries.find_job(account=account_of(request), job_id=job_id)
        adapters.job_service().cancel(job, now=timezone.now())
        job.refresh_from_db()
        return Response(_view(job))


class ListApi(APIView):
    required_scopes = {"GET": READ}

    class Query(serializers.Serializer[Any]):
        status = serializers.ChoiceField(choices=[status.value for status in JobStatus], required=False)
        operation = serializers.ChoiceField(choices=list(OPERATIONS), required=False)
        created_after = serializers.DateTimeField(required=False)
        created_before = serializers.DateTimeField(required=False)
        parent = serializers.UUIDField(required=False)  # type: ignore[assignment]
        cursor = serializers.CharField(required=False, help_text="From `next` or `previous`.")
        limit = serializers.IntegerField(min_value=1, default=PAGE, help_text=f"Jobs a page, at most {MAX_PAGE}.")

        def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
            # Ignored, a misspelt filter would give a program all jobs where it asked for a few.
            if unknown := sorted(set(self.initial_data) - set(self.fields)):
                raise serializers.ValidationError({name: ["There is no such filter."] for name in unknown})
            return attrs

    class Output(serializers.Serializer[Any]):
        next = serializers.CharField(allow_null=True)
        previous = serializers.CharField(allow_null=True)
        results = JobOut(many=True)

        class Meta:
            ref_name = "JobList"

    @extend_schema(
        operation_id="list_jobs",
        summary="Your jobs, newest first",
        parameters=[Query],
        responses={200: Output, **problems(401, 403, 422, 429, 503)},
    )
    def get(self, request: Request) -> Response:
        query = self.Query(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        jobs = _filtered(queries.owned_by(account_of(request)), asked)
        page = queries.page_of(jobs, size=min(asked["limit"], MAX_PAGE), cursor=asked.get("cursor", ""))
        return Response(
            {
                "next": _beside(request, page.next),
                "previous": _beside(request, page.previous),
                "results": queries.job_views(page.jobs, states=adapters.state_store(), sign=adapters.sign_link),
            }
        )


def _beside(request: Request, cursor: str | None) -> str | None:
    return replace_query_param(request.build_absolute_uri(), "cursor", cursor) if cursor else None


def _filtered(jobs: Any, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a JobQuerySet of ours
    columns: dict[str, str | datetime | UUID] = {
        column: asked[name]
        for name, column in (
            ("operation", "operation"),
            ("created_after", "requested_at__gt"),
            ("created_before", "requested_at__lt"),
            ("parent", "parent_id"),
        )
        if name in asked
    }
    jobs = jobs.filter(**columns)
    if "status" in asked:
        jobs = queries.with_status(jobs, JobStatus(asked["status"]), states=adapters.state_store())
    return jobs


def submit_view(operation: Operation) -> Any:  # noqa: ANN401 - Django's view
    """Return the view that accepts photos for an operation, with the operation's own schema."""

    # A method for each view: spectacular keeps what it is told on the function, and an operation's id only there.
    @extend_schema(
        operation_id=f"submit_{operation.name}",
        summary=operation.title,
        description=operation.summary,
        request={"multipart/form-data": _form_schema(operation), "application/json": _json_schema(operation)},
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                description="Repeat a request with the same key as often as you like: it makes and charges one job.",
            )
        ],
        responses={202: JobOut, **problems(400, 401, 402, 403, 404, 409, 410, 413, 415, 422, 429, 503)},
    )
    def post(view: SubmitApi, request: Request) -> Response:
        return view.submit(request)

    name = f"{operation.title.title().replace(' ', '')}Api"
    view: Any = type(name, (SubmitApi,), {"operation": operation, "post": post, "__doc__": operation.summary})
    return view.as_view()


def _form_schema(operation: Operation) -> dict[str, Any]:
    form = {"image": {"type": "string", "format": "binary", "description": "The photo."}}
    schema = operation.schema()
    return {**schema, "properties": {**form, **schema["properties"]}, "required": ["image"]}


def _json_schema(operation: Operation) -> dict[str, Any]:
    photo = {
        "image_url": {"type": "string", "format": "uri", "description": "Public http or https address of the photo."},
        "upload_id": {"type": "string", "format": "uuid", "description": "Of a photo that was sent directly before."},
    }
    schema = operation.schema()
    one_of_them = [{"required": [name]} for name in photo]
    return {**schema, "properties": {**photo, **schema["properties"]}, "oneOf": one_of_them}
