"""The page of an account, where its people, keys, credits, limits and jobs meet; and who did what in the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

import billing.services
from accounts.admin_base import ModelForm, OperatorAdmin, ReadOnlyAdmin, ReadOnlyInline, labelled
from accounts.models import Account, ApiKey, User
from billing.admin import in_words
from billing.errors import ReferenceTaken
from billing.models import CreditBalance
from jobs.limits import CEILING, MEGABYTE, PLANS, limits_of
from jobs.models import Job
from jobs.operations import MEGAPIXEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from jobs.operations import Limits

_LATELY = timedelta(days=30)
_MAX_GRANT = 1_000_000_000
# Field, what it is called, the limit that it stands for, its unit, and what it is counted in.
_LIMITS = (
    ("max_upload_megabytes", "Largest file (through the site at most 30 MB)", "max_upload_bytes", MEGABYTE, "MB"),
    ("max_input_megapixels", "Largest photo", "max_pixels", MEGAPIXEL, "megapixels"),
    ("max_output_megapixels", "Largest result", "max_output_pixels", MEGAPIXEL, "megapixels"),
    ("max_unfinished_jobs", "Unfinished jobs at once", "max_unfinished_jobs", 1, "jobs"),
    ("max_submits_per_minute", "Submissions", "max_submits_per_minute", 1, "jobs a minute"),
)
_WITH_CEILING = {"max_upload_megabytes", "max_input_megapixels", "max_output_megapixels"}


class AccountForm(ModelForm):
    """An account's own limits, each beside what its plan gives it."""

    class Meta:
        model = Account
        fields = ("name", "plan", *(field for field, *_ in _LIMITS))

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        for field, label, limit, unit, what in _LIMITS:
            if field in self.fields:
                self.fields[field].label = label
                self.fields[field].help_text = _help(field, limit, unit, what)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for field, _, limit, unit, what in _LIMITS:
            highest = getattr(CEILING, limit) // unit
            if field in _WITH_CEILING and (cleaned.get(field) or 0) > highest:
                self.add_error(field, f"At most {highest:,} {what}: the site and the model server take no more.")
        return cleaned


class GrantForm(forms.Form):
    amount = forms.IntegerField(min_value=1, max_value=_MAX_GRANT, widget=UnfoldAdminIntegerFieldWidget)
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Kept in the ledger, where the people of the account can read it.",
    )
    # One for each time that the form is shown: of two clicks one grants.
    token = forms.UUIDField(widget=forms.HiddenInput)


class PeopleInline(ReadOnlyInline):
    model = User
    verbose_name_plural = "people"
    fields = ("email", "name", "is_active", "is_staff", "last_login")
    readonly_fields = fields


class KeysInline(ReadOnlyInline):
    model = ApiKey
    verbose_name_plural = "API keys"
    fields = ("name", "prefix", "mode", "created_at", "last_used_at", "revoked_at")
    readonly_fields = fields
    ordering = ("-created_at",)


@admin.register(Account)
class AccountAdmin(OperatorAdmin):
    form = AccountForm
    list_display = ("name", "plan", "people", "available", "held", "lately", "own_limits", "created_at")
    list_filter = ("plan",)
    search_fields = ("name", "people__email")
    search_help_text = "Account or e-mail"
    ordering = ("-created_at",)
    sortable_by = ("name", "plan", "created_at")
    inlines = (PeopleInline, KeysInline)
    readonly_fields = ("id", "created_at", "credits", "ledger", "jobs")
    change_form_template = "admin/accounts/account/change_form.html"
    fieldsets = (
        (None, {"fields": ("name", "plan")}),
        ("Credits", {"fields": ("credits", "ledger", "jobs")}),
        (
            "Limits of its own",
            {"fields": tuple(field for field, *_ in _LIMITS), "description": "Empty means as the plan says."},
        ),
        ("Identity", {"fields": ("id", "created_at")}),
    )
    add_fieldsets = ((None, {"fields": ("name", "plan")}),)

    def get_inlines(self, request: HttpRequest, obj: Any | None) -> Any:  # noqa: ANN401
        return super().get_inlines(request, obj) if obj is not None else ()

    def load(self, request: HttpRequest, rows: Sequence[Any]) -> None:  # noqa: ARG002
        """Give the accounts of one page their numbers, with one query for each column."""
        ids = [account.pk for account in rows]
        balances = CreditBalance.objects.in_bulk(ids)
        people = _numbers(User.objects.filter(account__in=ids))
        since = timezone.now() - _LATELY
        lately = _numbers(Job.objects.filter(account__in=ids, requested_at__gte=since))
        for account in rows:
            account.row_balance = balances.get(account.pk)
            account.row_people = people.get(account.pk, 0)
            account.row_jobs = lately.get(account.pk, 0)

    @admin.display(description="People")
    def people(self, account: Any) -> int:  # noqa: ANN401 - an Account with what `load` gave it
        return int(account.row_people)

    @admin.display(description="Credits")
    def available(self, account: Any) -> str:  # noqa: ANN401
        return f"{account.row_balance.credits:,}" if account.row_balance else "0"

    @admin.display(description="Held")
    def held(self, account: Any) -> str:  # noqa: ANN401
        return f"{account.row_balance.held:,}" if account.row_balance else "0"

    @admin.display(description="Jobs in 30 days")
    def lately(self, account: Any) -> str:  # noqa: ANN401
        return f"{account.row_jobs:,}"

    @labelled("Limits", **{"its own": "info", "closed": "danger"})
    def own_limits(self, account: Account) -> str:
        limits = limits_of(account)
        if limits.max_unfinished_jobs == 0:
            return "closed"
        return "as its plan" if limits == PLANS[account.plan] else "its own"

    @admin.display(description="Credits")
    def credits(self, account: Account) -> str:
        balance = billing.services.balance(account)
        return f"{balance.available:,} available, {balance.held:,} held for unfinished jobs"

    @admin.display(description="Ledger")
    def ledger(self, account: Account) -> str:
        return in_words(billing.services.audit(account))

    @admin.display(description="Jobs")
    def jobs(self, account: Account) -> str:
        lately = account.jobs.filter(requested_at__gte=timezone.now() - _LATELY).count()
        return f"{lately:,} in 30 days, {account.jobs.unsettled().count():,} unfinished"

    def has_grant_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.add_ledgerentry")

    def get_urls(self) -> list[URLPattern]:
        grant = path("<uuid:account_id>/grant/", self.admin_site.admin_view(self.grant_view), name="grant_credits")
        return [grant, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        may_grant = {"may_grant": self.has_grant_permission(request)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **may_grant})

    def grant_view(self, request: HttpRequest, account_id: UUID) -> HttpResponse:
        """Grant credits: a form with an amount and a reason."""
        account = self.get_object(request, str(account_id))
        if not self.has_grant_permission(request):
            raise PermissionDenied
        back = HttpResponseRedirect(reverse("admin:accounts_account_change", args=[account_id]))
        if account is None:
            # As Django's own pages do for what is gone.
            return HttpResponseRedirect(reverse("admin:accounts_account_changelist"))
        form = GrantForm(request.POST or None, initial={"token": uuid4()})
        if form.is_valid() and self._grant(request, account, **form.cleaned_data):
            return back
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": account,
            "title": f"Grant credits to {account.name}",
            "form": form,
            "balance": billing.services.balance(account),
        }
        return TemplateResponse(request, "admin/accounts/account/grant.html", context)

    def _grant(self, request: HttpRequest, account: Account, *, amount: int, reason: str, token: UUID) -> bool:
        """Grant once for each token; return whether the form has done its work."""
        reference = f"admin-grant:{token}"
        try:
            granted = billing.services.grant(
                account=account, credits=amount, reference=reference, now=timezone.now(), note=reason
            )
        except ReferenceTaken:
            self.message_user(request, "This form has granted other credits before. Load it again.", messages.ERROR)
            return False
        if not granted:
            self.message_user(request, "These credits had been granted already; nothing was added.", messages.INFO)
            return True
        self.log_change(request, account, f"Granted {amount:,} credits ({reference}).")
        self.message_user(request, f"{amount:,} credits granted to {account.name}.", messages.SUCCESS)
        return True


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """Who did what in the admin."""

    list_display = ("action_time", "user", "content_type", "object_repr", "what")
    list_filter = ("action_flag",)
    list_select_related = ("user", "content_type")
    search_fields = ("object_id", "object_repr", "user__email")
    search_help_text = "Id, name or e-mail of whoever did it"
    ordering = ("-id",)
    sortable_by = ()
    fields = ("action_time", "user", "content_type", "object_id", "object_repr", "what")

    @admin.display(description="What")
    def what(self, entry: LogEntry) -> str:
        return entry.get_change_message()


def _help(field: str, limit: str, unit: int, what: str) -> str:
    plans = ", ".join(f"{plan}: {_number(limits, limit, unit)}" for plan, limits in PLANS.items())
    end = " 0 closes the account to new jobs." if field == "max_unfinished_jobs" else ""
    return f"In {what} ({plans}).{end}"


def _number(limits: Limits, limit: str, unit: int) -> str:
    return f"{getattr(limits, limit) // unit:,}"


def _numbers(rows: Any) -> dict[UUID, int]:  # noqa: ANN401 - a queryset with an account
    return dict(rows.order_by().values_list("account").annotate(Count("pk")))
