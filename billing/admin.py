"""The operator's pages of credits: all of them read-only. Credits are granted on an account's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from accounts.admin_base import ReadOnlyAdmin, labelled, moment
from accounts.admin_filters import DayFilter
from billing import services
from billing.models import CreditBalance, LedgerEntry

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("moved_at", "account", "movement", "amount", "change", "held_change", "reference", "note")
    list_filter = (
        "kind",
        ("account", AutocompleteSelectFilter),
        ("created_at", DayFilter),
    )
    list_select_related = ("account",)
    # The start of a reference: the unique index finds it.
    search_fields = ("reference__startswith",)
    search_help_text = "Reference: a job's id, a payment's or a grant's, or the start of one"
    ordering = ("-id",)
    sortable_by = ()

    @admin.display(description="Time")
    def moved_at(self, entry: LedgerEntry) -> str:
        return moment(entry.created_at)

    @labelled("Kind", hold="warning", capture="info", release="success", top_up="success", grant="success")
    def movement(self, entry: LedgerEntry) -> str:
        return entry.kind


@admin.register(CreditBalance)
class CreditBalanceAdmin(ReadOnlyAdmin):
    list_display = ("account", "available", "promised")
    list_select_related = ("account",)
    search_fields = ("account__name", "account__people__email")
    search_help_text = "Account or e-mail"
    ordering = ("-credits",)
    sortable_by = ("available",)
    fields = ("account", "credits", "held", "ledger")
    list_before_template = "admin/billing/audit.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "disagreements": services.disagreements()})

    @admin.display(description="Credits", ordering="credits")
    def available(self, balance: CreditBalance) -> str:
        return f"{balance.credits:,}"

    @admin.display(description="Held")
    def promised(self, balance: CreditBalance) -> str:
        return f"{balance.held:,}"

    @admin.display(description="Ledger")
    def ledger(self, balance: CreditBalance) -> str:
        return in_words(services.audit(balance.account))


def in_words(audit: services.Audit) -> str:
    """Return what an audit found, as a sentence."""
    if audit.agrees:
        return "The ledger adds up to this balance."
    return f"The ledger adds up to {audit.ledger.available:,} credits and {audit.ledger.held:,} held: they disagree."
