"""The filters and the search of the operator's list of jobs, each of which an index or the page's size bounds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q
from django.utils import timezone

from accounts.models import Account
from jobs import adapters, queries
from jobs.errors import Unavailable
from jobs.models import Job
from jobs.operations import OPERATIONS
from jobs.states import JobStatus

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

_RECENT = timedelta(days=30)
_MAX_ACCOUNTS = 200
_HEX_DIGITS = 32
# The first eight digits are what the list shows of an id.
_START_OF_AN_ID = re.compile(r"[0-9a-f]{8,32}")


class OperationFilter(admin.SimpleListFilter):
    title = "operation"
    parameter_name = "operation"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ANN401, ARG002
        return [(operation.name, operation.title) for operation in OPERATIONS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:  # noqa: ARG002
        return queryset.filter(operation=self.value()) if self.value() else queryset


class StatusFilter(admin.SimpleListFilter):
    """By the live status, which SQL does not know before a job has ended."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ANN401, ARG002
        return [(status.value, status.value) for status in JobStatus]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Job]:  # noqa: ANN401
        value = self.value()
        if value not in list(JobStatus):
            return queryset  # type: ignore[no-any-return]
        try:
            return queries.with_status(queryset, JobStatus(value), states=adapters.state_store())
        except Unavailable as error:
            messages.error(request, str(error))
            return queryset.none()  # type: ignore[no-any-return]


class ErrorFilter(admin.SimpleListFilter):
    """By the codes that were seen of late; an older one still works when it is typed into the address."""

    title = "error"
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ANN401, ARG002
        recent = Job.objects.filter(status=JobStatus.FAILED, completed_at__gte=timezone.now() - _RECENT)
        codes = set(recent.order_by().values_list("error_code", flat=True).distinct())
        return [(code, code) for code in sorted(codes | {self.used_parameters.get(self.parameter_name, "")}) if code]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:  # noqa: ARG002
        return queryset.filter(error_code=self.value()) if self.value() else queryset


def found(jobs: QuerySet[Job], term: str) -> QuerySet[Job]:
    """
    Return the jobs that a search finds: by id or its first eight digits, by file name, account or e-mail.

    An id finds the jobs made of that one, too.
    """
    term = term.strip()
    digits = term.lower().replace("-", "")
    named = Q(filename__icontains=term) | Q(account__in=_accounts(term))
    if not _START_OF_AN_ID.fullmatch(digits):
        return jobs.filter(named)
    # A range, which the primary key's index can walk, and every database compares ids by their digits.
    first, last = UUID(digits.ljust(_HEX_DIGITS, "0")), UUID(digits.ljust(_HEX_DIGITS, "f"))
    return jobs.filter(Q(id__range=(first, last)) | Q(parent_id__gte=first, parent_id__lte=last) | named)


def _accounts(term: str) -> list[UUID]:
    # First their ids: joined to every job, people would be searched once for each of them.
    fitting = Account.objects.filter(Q(name__icontains=term) | Q(people__email__icontains=term))
    return list(fitting.values_list("pk", flat=True).distinct()[:_MAX_ACCOUNTS])
