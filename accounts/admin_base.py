"""What every page of the admin shares: who changes what is logged, nothing is deleted, long lists stay fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import structlog
from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.core.exceptions import ValidationError
from django.http import HttpResponseRedirect
from unfold.paginator import InfinitePaginator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from django import forms
    from django.contrib import admin
    from django.contrib.admin.views.main import ChangeList
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse

    # Unfold has no types; what it adds to Django's classes is templates and widgets.
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    ModelForm = forms.ModelForm[Any]
else:
    from django.forms import ModelForm  # noqa: F401 - for others, as its typed twin above
    from unfold.admin import ModelAdmin, TabularInline
    from unfold.views import ChangeList

_Column = TypeVar("_Column", bound="Callable[..., str]")

log = structlog.get_logger(__name__)


def labelled(description: str, **colors: str) -> Callable[[_Column], _Column]:
    """Show a column's values as labels: colors are Unfold's success, info, warning and danger, by value."""

    def decorate(column: _Column) -> _Column:
        column.short_description = description  # type: ignore[attr-defined]
        column.label = colors  # type: ignore[attr-defined]
        return column

    return decorate


def moment(at: datetime) -> str:
    """Return a time to the second, which does not break in a column."""
    return f"{at:%Y-%m-%d}\N{NO-BREAK SPACE}{at:%H:%M:%S}"


class LoadedList(ChangeList):
    """A page of a list, whose rows are given at once what SQL's one query could not bring along cheaply."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        cast("OperatorAdmin", self.model_admin).load(request, self.result_list)


class OperatorAdmin(ModelAdmin):
    """Changes are logged twice: in the admin's own history for people, and as a line of the log without values."""

    list_per_page = 50
    # No COUNT over a long table: not for its pages, not for how many rows there are, not for each choice of a filter.
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_disable_select_all = True
    list_filter_submit = True

    def load(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Give the rows of a page what their columns need; `rows` are those that are shown."""

    def get_changelist(self, request: HttpRequest, **_options: Any) -> type[ChangeList]:  # noqa: ANN401, ARG002
        return LoadedList

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *location: Any) -> HttpResponse | None:  # noqa: ANN401
        try:
            return super().response_action(request, queryset, *location)
        except ValidationError:
            # A form that somebody edited names what is no id.
            self.message_user(request, "These rows are not there any more.", messages.WARNING)
            return HttpResponseRedirect(request.get_full_path())

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:  # noqa: ANN401 - Django's signature
        _log_line("admin_added", request, obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:  # noqa: ANN401 - Django's signature
        # Django's own messages are lists of field names; ours are sentences about ids. Neither holds a secret.
        _log_line("admin_changed", request, obj, what=message)
        return super().log_change(request, obj, message)


class ReadOnlyAdmin(OperatorAdmin):
    """What is looked at and acted on, and never edited by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False


class ReadOnlyInline(TabularInline):
    """Rows of another table, to look at and to go to."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False


def _log_line(event: str, request: HttpRequest, obj: Model, **more: object) -> None:
    log.info(event, model=obj._meta.label, object_id=str(obj.pk), by=request.user.pk, **more)  # noqa: SLF001
