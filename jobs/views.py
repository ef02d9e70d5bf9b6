"""The pages: submit a photo, watch a job, list them, cancel; and the files of the local profile."""

from __future__ import annotations

import mimetypes
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, cast
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from billing.errors import InsufficientCredits
from jobs import adapters, forms, history, links, queries, uploads
from jobs.errors import (
    BadLink,
    IllegalMove,
    InvalidParameters,
    JobError,
    JobNotFound,
    ObjectMissing,
    StateMissing,
    Unavailable,
)
from jobs.operations import OPERATIONS, UPSCALE
from jobs.states import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from accounts.models import Account, User
    from jobs.models import Job
    from jobs.operations import Operation

    class SignedInRequest(HttpRequest):
        user: User


PAGE_SIZE, MAX_CHILDREN = 24, 20
# Sides are whole pixels: a small picture of the same shape may be off by this much.
SAME_SHAPE = 0.02
_Path = ParamSpec("_Path")


def _signed_in_or_back_to(
    page: Callable[_Path, str],
) -> Callable[
    [Callable[Concatenate[SignedInRequest, _Path], HttpResponse]],
    Callable[Concatenate[HttpRequest, _Path], HttpResponse],
]:
    """Send who is not signed in to sign in and then to a page: a form's own address answers a GET with 405."""

    def decorate(
        view: Callable[Concatenate[SignedInRequest, _Path], HttpResponse],
    ) -> Callable[Concatenate[HttpRequest, _Path], HttpResponse]:
        @wraps(view)
        def answer(request: HttpRequest, /, *args: _Path.args, **kwargs: _Path.kwargs) -> HttpResponse:
            if request.user.is_authenticated:
                return view(cast("SignedInRequest", request), *args, **kwargs)
            return redirect_to_login(page(*args, **kwargs))

        return answer

    return decorate


def _form_page(operation: str) -> str:
    url = reverse("jobs:home")
    return f"{url}?{urlencode({'operation': operation})}" if operation in OPERATIONS else url


def _job_page(job_id: UUID) -> str:
    return reverse("jobs:detail", args=[job_id])


@require_safe
@login_required
@never_cache
def home(request: SignedInRequest) -> HttpResponse:
    """Show the form of one operation; `from` names a job whose photo and settings it begins with."""
    operation = OPERATIONS.get(request.GET.get("operation", ""), UPSCALE)
    source = _find(request.user.account, given) if (given := _job_id(request.GET.get("from", ""))) else None
    return render(request, "jobs/home.html", forms.form_view(operation, account=request.user.account, source=source))


@require_POST
@_signed_in_or_back_to(_form_page)
def submit(request: SignedInRequest, operation: str) -> HttpResponse:
    """Accept a photo from the form of a browser without scripts; the page's own scripts use the API."""
    if operation not in OPERATIONS:
        raise Http404
    try:
        job = _submit(request, OPERATIONS[operation])
    except (JobError, InsufficientCredits) as error:
        return _refuse(request, OPERATIONS[operation], error)
    return redirect("jobs:detail", job_id=job.id)


def _submit(request: SignedInRequest, operation: Operation) -> Job:
    service = adapters.job_service()
    content, filename = uploads.the_file(request.FILES, limits=service.limits_of(request.user.account))
    submission = service.understand(
        account=request.user.account,
        operation=operation,
        values=forms.values(operation, request.POST),
        content=content,
        filename=filename,
        idempotency_key=request.POST.get("idempotency_key", ""),
    )
    return service.submit(submission, now=timezone.now())


@require_POST
@_signed_in_or_back_to(_job_page)
def again(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    """Run a job's photo again: as it was, or with what the form of `operation` says."""
    job = _find(request.user.account, job_id)
    operation = OPERATIONS.get(request.POST.get("operation", ""))
    try:
        new = adapters.job_service().rerun(
            job,
            now=timezone.now(),
            operation=operation,
            values=forms.values(operation, request.POST) if operation else None,
            idempotency_key=request.POST.get("idempotency_key", ""),
        )
    except (JobError, InsufficientCredits) as error:
        if operation and not isinstance(error, ObjectMissing):
            return _refuse(request, operation, error, source=job)
        return _show(request, job, problem=error)
    return redirect("jobs:detail", job_id=new.id)


def _refuse(
    request: SignedInRequest, operation: Operation, error: JobError | InsufficientCredits, *, source: Job | None = None
) -> HttpResponse:
    errors = error.errors if isinstance(error, InvalidParameters) else {}
    view = forms.form_view(operation, account=request.user.account, given=request.POST, errors=errors, source=source)
    return render(request, "jobs/home.html", {**view, "problem": error}, status=_status_of(error))


def _status_of(error: JobError | InsufficientCredits) -> int:
    """Return the status that the API would answer; the table is the site's, which this app does not import."""
    return int(import_string(settings.ERROR_STATUS)(error) or 500)


@require_safe
@login_required
@never_cache
def detail(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    """Show one job; the page goes on by its socket, and without scripts by reloading itself."""
    return _show(request, _find(request.user.account, job_id))


def _show(request: SignedInRequest, job: Job, *, problem: JobError | InsufficientCredits | None = None) -> HttpResponse:
    view = _readable(_view(job))
    # Not by truth: 0 is a seed and a strength like any other.
    asked = [
        (name, value) for name, value in job.params.items() if not (value is None or value is False or value == "")
    ]
    operation = OPERATIONS.get(job.operation)
    size = (job.input_width, job.input_height)
    width, height = operation.output_size(*size, job.params) if operation else size
    context = {
        "job": view,
        "title": job.title,
        "over": JobStatus(view["status"]).terminal,
        "params": asked,
        "used": queries.settings_used(view),
        "expected": {"width": width, "height": height},
        "children": job.children.order_by("-requested_at")[:MAX_CHILDREN],
        "gone": job.purged_at is not None,
        "beside": _is_another_shape(job, view),
        "idempotency_key": uuid4().hex,
        "problem": problem,
    }
    return render(request, "jobs/detail.html", context, status=_status_of(problem) if problem else 200)


def _is_another_shape(job: Job, view: dict[str, Any]) -> bool:
    """Tell whether the result is no picture of the same place, so that the two cannot lie on one another."""
    if view["output"] is None:
        return bool(job.params.get("crop"))
    across, down = view["output"]["width"] / job.input_width, view["output"]["height"] / job.input_height
    return bool(abs(across / down - 1) > SAME_SHAPE)


@require_safe
@login_required
def thumbnail(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    """
    Send the small picture that the job's live state has, or one that says there is none.

    A page asks for the version that it shows: that one never changes, so a browser keeps it.
    """
    job = _find(request.user.account, job_id)
    try:
        state, _ = adapters.state_store().read(job.id)
        preview = state.preview
    except (StateMissing, Unavailable):
        preview = None
    if preview is None:
        return redirect(static("no-picture.svg"))
    response = HttpResponse(preview, content_type="image/jpeg")
    asked_for_this_one = request.GET.get("v") == str(state.version)
    response["Cache-Control"] = f"private, {'max-age=604800, immutable' if asked_for_this_one else 'no-cache'}"
    return response


@require_POST
@_signed_in_or_back_to(_job_page)
def cancel(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    job = _find(request.user.account, job_id)
    try:
        adapters.job_service().cancel(job, now=timezone.now())
    except IllegalMove as error:
        messages.info(request, str(error))
    return redirect("jobs:detail", job_id=job.id)


@require_safe
@login_required
@never_cache
def job_list(request: SignedInRequest) -> HttpResponse:
    """List the account's jobs, newest first, those that fit if asked."""
    chosen = history.read(request.GET)
    jobs = history.fitting(queries.owned_by(request.user.account), chosen, states=adapters.state_store())
    page = Paginator(jobs, PAGE_SIZE).get_page(request.GET.get("page"))
    shown = list(page.object_list)
    views = queries.job_views(shown, states=adapters.state_store(), sign=_no_link)
    context = {
        "jobs": [{**_readable(view), "title": job.title} for job, view in zip(shown, views, strict=True)],
        "page": page,
        "oldest": views[-1]["created_at"] if views else "",
        "chosen": chosen,
        "query": urlencode(chosen) + "&" if chosen else "",
        "operations": OPERATIONS.values(),
        "statuses": [status.value for status in JobStatus],
    }
    return render(request, "jobs/list.html", context)


def _no_link(path: str, *, filename: str) -> str:  # noqa: ARG001
    """Sign nothing: the list shows small pictures, and in the cloud each signature is work."""
    return ""


@require_safe
def file(request: HttpRequest, signed: str) -> FileResponse | HttpResponseRedirect:  # noqa: ARG001
    """Serve what a signed link names, or lead to it; the link itself is the permission."""
    try:
        link = links.read(signed)
        address = adapters.address_of(link)
        if address is not None:
            return _lead_to(address)
        content = adapters.file_storage().open_link(link)
    except BadLink as error:
        raise Http404 from error
    kind = mimetypes.guess_type(link.filename)[0] or "application/octet-stream"
    # Never inline: what people upload must not run as a page of ours.
    response = FileResponse(content, as_attachment=True, filename=link.filename, content_type=kind)
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, max-age=3600, immutable"
    return response


def _lead_to(address: str) -> HttpResponseRedirect:
    response = HttpResponseRedirect(address)
    # A page shows a picture in several places; the address works for longer than this.
    response["Cache-Control"] = f"private, max-age={links.ADDRESS_LEFT.total_seconds():.0f}"
    return response


def _find(account: Account, job_id: UUID) -> Job:
    try:
        return queries.find_job(account=account, job_id=job_id)
    except JobNotFound as error:
        raise Http404 from error


def _view(job: Job) -> dict[str, Any]:
    return queries.current_view(job, states=adapters.state_store(), sign=adapters.sign_link)


def _readable(view: dict[str, Any]) -> dict[str, Any]:
    """Return the view with times that a template can format."""
    times = {name: datetime.fromisoformat(view[name]) for name in ("created_at", "expires_at")}
    return {**view, **times}


def _job_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
