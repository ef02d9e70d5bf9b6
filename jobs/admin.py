"""The operator's pages of jobs: found, looked at, cancelled and run again, never edited by hand."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter

import billing.services
from accounts.admin_base import ReadOnlyAdmin, labelled, moment
from accounts.admin_confirm import Question, ask, confirmed
from accounts.admin_filters import DayFilter
from billing.errors import BillingError
from jobs import adapters, queries
from jobs.admin_filters import ErrorFilter, OperationFilter, StatusFilter, found
from jobs.errors import JobError, Unavailable
from jobs.models import Job
from jobs.states import JobStatus
from jobs.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    from jobs.states import JobState

log = structlog.get_logger(__name__)
# What a browser shows, and small enough to be shown whole.
_SHOWN_FORMATS, _SHOWN_BYTES = {"jpeg", "png", "webp", "gif", "avif"}, 12 * 1024 * 1024


@dataclass(frozen=True)
class Deed:
    """What an action does to one job: returns a sentence for the history, and the job that came of it."""

    title: str
    warning: str
    confirm: str
    done: str
    do: Callable[[Job, str], tuple[str, Job]]
    danger: bool = False


def _cancel(job: Job, _token: str) -> tuple[str, Job]:
    adapters.job_service().cancel(job, now=timezone.now())
    return "Cancelled.", job


def _run_again(job: Job, token: str) -> tuple[str, Job]:
    # Of two clicks on one button, the second finds what the first made.
    key = f"admin-{token}-{job.id}"
    again = adapters.job_service().rerun(job, now=timezone.now(), idempotency_key=key, beyond_quota=True)
    return f"Run again as {again.id}.", again


CANCEL = Deed(
    title="Cancel {jobs}?",
    warning="What is being worked on stops, and the credits held for it come back to its account.",
    confirm="Cancel {jobs}",
    done="cancelled",
    do=_cancel,
    danger=True,
)
RUN_AGAIN = Deed(
    title="Run {jobs} again?",
    warning="Each becomes a new job with the same photo and parameters. Its own account pays for it, as for any other.",
    confirm="Run {jobs} again",
    done="run again",
    do=_run_again,
)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = (
        "short_id",
        "state",
        "what",
        "account",
        "filename",
        "credits",
        "requested",
        "took",
        "engine_or_error",
    )
    list_filter = (
        StatusFilter,
        OperationFilter,
        ErrorFilter,
        ("account", AutocompleteSelectFilter),
        "account__plan",
        ("requested_at", DayFilter),
        ("parent", admin.EmptyFieldListFilter),
    )
    list_select_related = ("account",)
    search_fields = ("id",)
    search_help_text = "Job id or its first eight digits, file name, account or e-mail"
    ordering = ("-requested_at",)
    sortable_by = ("requested",)
    actions = ("cancel", "run_again")
    change_form_template = "admin/jobs/job/change_form.html"
    fieldsets = ()

    def load(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        live = self._live(request, [job.id for job in rows if job.settled_at is None])
        for job in rows:
            job.live = live.get(job.id)

    def _live(self, request: HttpRequest, job_ids: Sequence[UUID]) -> dict[UUID, JobState]:
        try:
            return adapters.state_store().read_many(job_ids)
        except Unavailable as error:
            self.message_user(request, f"{error} States are shown as SQL last knew them.", messages.WARNING)
            return {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return super().get_queryset(request).defer("params")

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        return (found(queryset, search_term), False) if search_term.strip() else (queryset, False)

    @admin.display(description="Job")
    def short_id(self, job: Job) -> str:
        return _short(job.id)

    @admin.display(description="Operation")
    def what(self, job: Job) -> str:
        return job.title

    @labelled("State", completed="success", failed="danger", cancelled="warning", processing="info")
    def state(self, job: Any) -> str:  # noqa: ANN401 - a Job with what `load` gave it
        if job.settled_at is not None or job.live is None:
            return str(job.status)
        return str(job.live.status.value)

    @admin.display(description="Requested", ordering="requested_at")
    def requested(self, job: Job) -> str:
        return moment(job.requested_at)

    @admin.display(description="Ended after")
    def took(self, job: Job) -> str:
        return (
            f"{(job.completed_at - job.requested_at).total_seconds():,.1f}\N{NO-BREAK SPACE}s"
            if job.completed_at
            else ""
        )

    @admin.display(description="Engine or error")
    def engine_or_error(self, job: Job) -> str:
        return job.error_code or str((job.outcome.get("engine") or {}).get("name", ""))

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.change_job")

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        return self._carry_out(CANCEL, "cancel", request, queryset)

    @admin.action(description="Run again", permissions=["operate"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        return self._carry_out(RUN_AGAIN, "run_again", request, queryset)

    def _carry_out(self, deed: Deed, action: str, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        # No more than a page of them: what is more is work for manage.py.
        jobs = list(queryset.defer(None).select_related("account")[: self.list_per_page])
        token = confirmed(request)
        from_page = request.POST.get("back") == "job" and len(jobs) == 1
        if not token:
            return ask(self, request, _question(deed, action, jobs, back_to=_page(jobs[0]) if from_page else ""))
        made = self._each(deed, token, request, jobs)
        if from_page:
            return HttpResponseRedirect(_page(made[0] if made else jobs[0]))
        return None

    def _each(self, deed: Deed, token: str, request: HttpRequest, jobs: Sequence[Job]) -> list[Job]:
        made, refused = [], defaultdict(list)
        for job in jobs:
            try:
                sentence, outcome = deed.do(job, token)
            except (JobError, BillingError) as error:
                refused[_sentence(error)].append(job)
                continue
            made.append(outcome)
            self.log_change(request, job, sentence)
        if made:
            self.message_user(request, f"{_jobs(len(made))} {deed.done}.", messages.SUCCESS)
        for sentence, those in refused.items():
            names = ", ".join(_short(job.id) for job in those)
            self.message_user(request, f"{_jobs(len(those))} not {deed.done}: {sentence} ({names})", messages.ERROR)
        return made

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        job = self.get_object(request, object_id)
        page = {}
        if job is not None and self.has_view_permission(request, job):
            state = self._live(request, [job.id]).get(job.id)
            page = {"job_page": _job_page(job, state), "may_operate": self.has_operate_permission(request)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **page})


def _job_page(job: Job, state: JobState | None) -> dict[str, Any]:
    """Return what the page of one job shows, live state and all."""
    movements = billing.services.movements(str(job.id))
    view = queries.job_view(job, state, sign=adapters.sign_link)
    status = JobStatus(view["status"])
    return {
        "job": job,
        "title": job.title,
        "view": view,
        "state": state,
        "lapsed": state is not None and state.lapsed(now=timezone.now()),
        "over": status.terminal,
        "params": [(name, value) for name, value in job.params.items() if value not in (None, "")],
        "used": queries.settings_used(view),
        "images": [
            (label, image, image["format"] in _SHOWN_FORMATS and image["bytes"] <= _SHOWN_BYTES)
            for label, image in (("Input", view["input"]), ("Output", view["output"]))
            if image
        ],
        "timeline": timeline(job, state, movements),
        "movements": movements,
        "children": [(child, child.title) for child in job.children.order_by("requested_at")[:50]],
    }


def _question(deed: Deed, action: str, jobs: Sequence[Job], *, back_to: str) -> Question:
    these = _jobs(len(jobs))
    return Question(
        title=deed.title.format(jobs=these),
        warning=deed.warning,
        action=action,
        rows=[(str(job.id), f"{_short(job.id)} {job.filename}", _remark(job)) for job in jobs],
        confirm=deed.confirm.format(jobs=these),
        danger=deed.danger,
        back_to=back_to,
    )


def _remark(job: Job) -> str:
    return f"{job.title}, {job.credits:,} credits, {job.account.name}"


def _sentence(error: JobError | BillingError) -> str:
    details = getattr(error, "errors", None)
    return " ".join(line for lines in details.values() for line in lines) if details else str(error)


def _page(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=[job.pk])


def _short(job_id: UUID) -> str:
    return str(job_id)[:8]


def _jobs(number: int) -> str:
    return f"{number:,} job{'s'[: number != 1]}"
