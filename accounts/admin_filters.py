"""Filters that the lists of several apps share."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django.utils.dateparse import parse_date
from unfold.contrib.filters.admin import RangeDateFilter

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


class DayFilter(RangeDateFilter):  # type: ignore[misc]
    """From the start of one day to the end of another, UTC; Unfold's own ends where the last day begins."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        first, last = self._start_of_day("from"), self._start_of_day("to")
        if first is not None:
            queryset = queryset.filter(**{f"{self.field_path}__gte": first})
        if last is not None:
            queryset = queryset.filter(**{f"{self.field_path}__lt": last + timedelta(days=1)})
        return queryset

    def _start_of_day(self, end: str) -> datetime | None:
        try:
            day = parse_date(self.used_parameters.get(f"{self.field_path}_{end}", ""))
        except ValueError:
            return None
        return datetime.combine(day, time(tzinfo=UTC)) if day else None
