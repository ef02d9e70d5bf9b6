"""The pages: submit a photo, watch a job, list them, cancel; and the files of the local profile."""

from __future__ import annotations

import mimetypes
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from billing.errors import InsufficientCredits
from jobs import adapters, forms, queries, uploads
from jobs.errors import BadLink, BadUpload, IllegalMove, InvalidParameters, JobError, JobNotFound, OverQuota
from jobs.operations import OPERATIONS, UPSCALE
from jobs.states import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from accounts.models import Account, User
    from jobs.models import Job
    from jobs.operations import Operation

    class SignedInRequest(HttpRequest):
        user: User


PAGE_SIZE = 24
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
    """Show the form of one operation."""
    operation = OPERATIONS.get(request.GET.get("operation", ""), UPSCALE)
    return render(request, "jobs/home.html", forms.form_view(operation, account=request.user.account))


@require_POST
@_signed_in_or_back_to(_form_page)
def submit(request: SignedInRequest, operation: str) -> HttpResponse:
    """
    Accept a photo from the form.

    A script that asks for JSON is told where the job is (201), or what is wrong; a browser is sent there, or shown the
    form again with the sentences in their places.
    """
    if operation not in OPERATIONS:
        raise Http404
    try:
        job = _submit(request, OPERATIONS[operation])
    except (JobError, InsufficientCredits) as error:
        return _refuse(request, OPERATIONS[operation], error)
    url = reverse("jobs:detail", args=[job.id])
    return JsonResponse({"url": url}, status=201) if _wants_json(request) else redirect(url)


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


def _refuse(request: SignedInRequest, operation: Operation, error: JobError | InsufficientCredits) -> HttpResponse:
    errors = error.errors if isinstance(error, InvalidParameters) else {}
    status = _status_of(error)
    if _wants_json(request):
        return JsonResponse({"code": error.code, "detail": str(error), "errors": errors}, status=status)
    view = forms.form_view(operation, account=request.user.account, given=request.POST, errors=errors)
    return render(request, "jobs/home.html", {**view, "problem": str(error)}, status=status)


def _status_of(error: JobError | InsufficientCredits) -> int:
    if isinstance(error, InsufficientCredits):
        return 402
    if isinstance(error, OverQuota):
        return 429
    if isinstance(error, BadUpload):
        return 400
    return 503 if error.retryable else 422


@require_safe
@login_required
@never_cache
def detail(request: SignedInRequest, job_id: UUID) -> HttpResponse:
    """Show one job; the page goes on by its socket, and without scripts by reloading itself."""
    job = _find(request.user.account, job_id)
    view = _readable(_view(job))
    status = JobStatus(view["status"])
    # Not by truth: 0 is a seed and a strength like any other.
    asked = [
        (name, value) for name, value in job.params.items() if not (value is None or value is False or value == "")
    ]
    context = {"job": view, "title": OPERATIONS[job.operation].title, "over": status.terminal, "params": asked}
    return render(request, "jobs/detail.html", context)


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
def history(request: SignedInRequest) -> HttpResponse:
    """List the account's jobs, newest first, by operation and status if asked."""
    chosen = {
        name: request.GET[name]
        for name, choices in (("operation", list(OPERATIONS)), ("status", [each.value for each in JobStatus]))
        if request.GET.get(name) in choices
    }
    jobs = queries.owned_by(request.user.account)
    if "operation" in chosen:
        jobs = jobs.filter(operation=chosen["operation"])
    if "status" in chosen:
        jobs = queries.with_status(jobs, JobStatus(chosen["status"]), states=adapters.state_store())
    page = Paginator(jobs, PAGE_SIZE).get_page(request.GET.get("page"))
    views = queries.job_views(page.object_list, states=adapters.state_store(), sign=adapters.sign_link)
    context = {
        "jobs": [{**_readable(view), "title": OPERATIONS[view["operation"]].title} for view in views],
        "page": page,
        "oldest": views[-1]["created_at"] if views else "",
        "chosen": chosen,
        "query": urlencode(chosen) + "&" if chosen else "",
        "operations": OPERATIONS.values(),
        "statuses": [status.value for status in JobStatus],
    }
    return render(request, "jobs/list.html", context)


@require_safe
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


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "") == "application/json"
