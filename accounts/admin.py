"""The operator's pages of people and their API keys. An account's own page is in imagen_site/admin.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.forms import AdminPasswordChangeForm

from accounts import services
from accounts.admin_base import OperatorAdmin, ReadOnlyAdmin, labelled
from accounts.admin_confirm import Question, ask, confirmed
from accounts.admin_forms import AddPersonForm, PersonForm
from accounts.models import ApiKey, User

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse

_POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, OperatorAdmin):
    """Sets of permissions for people who may do some things in the admin and not all."""


@admin.register(User)
class UserAdmin(DjangoUserAdmin, OperatorAdmin):  # type: ignore[type-arg]
    form = PersonForm
    add_form = AddPersonForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "name", "account", "is_active", "is_staff", "is_superuser", "joined_at", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    list_select_related = ("account",)
    search_fields = ("email", "name", "account__name")
    search_help_text = "E-mail, name or account"
    ordering = ("email",)
    autocomplete_fields = ("account",)
    readonly_fields = ("joined_at", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "password", "name", "account", "is_active")}),
        ("Admin", {"fields": _POWERS}),
        ("Dates", {"fields": ("joined_at", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "account", "usable_password", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> tuple[str, ...]:  # noqa: ANN401
        # Else whoever may edit people could make themselves able to do everything.
        fixed = tuple(super().get_readonly_fields(request, obj))
        return fixed if request.user.is_superuser else (*fixed, *_POWERS)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # And setting a superuser's password would be another way to the same.
        if isinstance(obj, User) and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys are made by the people who use them, who alone see their text; here they are found and closed."""

    list_display = ("name", "key", "account", "state", "mode", "created_by", "created_at", "last_used_at", "expires_at")
    list_filter = (
        "mode",
        ("revoked_at", admin.EmptyFieldListFilter),
        ("account", AutocompleteSelectFilter),
    )
    list_select_related = ("account", "created_by")
    search_fields = ("prefix", "name", "account__name", "created_by__email")
    search_help_text = "Prefix, name, account or e-mail"
    ordering = ("-created_at",)
    fields = (
        "name",
        "key",
        "account",
        "state",
        "mode",
        "scopes",
        "created_by",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    actions = ("revoke",)

    @admin.display(description="Key")
    def key(self, key: ApiKey) -> str:
        return f"img_{key.mode}_{key.prefix}_…"

    @labelled("State", open="success", revoked="danger", expired="warning")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        return "expired" if key.expires_at is not None and key.expires_at <= timezone.now() else "open"

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        keys = list(queryset.select_related("account"))
        if not confirmed(request):
            question = Question(
                title=f"Revoke {len(keys)} API key{'s'[: len(keys) != 1]}?",
                warning="Programs that use them are refused from this moment on. This cannot be undone.",
                action="revoke",
                rows=[(str(key.pk), str(key), key.account.name) for key in keys],
                confirm="Revoke",
                danger=True,
            )
            return ask(self, request, question)
        closed = [key for key in keys if self._close(request, key)]
        self.message_user(request, f"{len(closed)} revoked.", messages.SUCCESS if closed else messages.INFO)
        if len(closed) < len(keys):
            self.message_user(request, f"{len(keys) - len(closed)} had been revoked before.", messages.INFO)
        return None

    def _close(self, request: HttpRequest, key: ApiKey) -> bool:
        closed = services.revoke_api_key(account=key.account, key_id=key.pk, now=timezone.now())
        if closed:
            self.log_change(request, key, "Revoked.")
        return closed
