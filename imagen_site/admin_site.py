"""The admin's own doors: staff come in by the site's sign-in, everybody else is refused."""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Any

from csp.decorators import csp_update
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.urls import reverse
from unfold.sites import UnfoldAdminSite

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase

    View = Callable[..., HttpResponseBase]

# Alpine, which Unfold is drawn with, compiles the expressions in its attributes and sets styles on elements. No inline
# script, no other host; the rest of the site keeps the strict rule.
_CSP = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"]}


class OperatorSite(UnfoldAdminSite):  # type: ignore[misc]
    index_title = "State of the site"

    def admin_view(self, view: View, cacheable: bool = False) -> View:  # noqa: FBT001, FBT002 - Django's signature
        guarded = csp_update(_CSP)(super().admin_view(view, cacheable))

        def staff_only(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401
            if request.user.is_authenticated and not self.has_permission(request):
                raise PermissionDenied
            return guarded(request, *args, **kwargs)

        return update_wrapper(staff_only, guarded)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:  # noqa: ARG002
        """Send people to the site's own sign-in, which counts failed attempts, and back."""
        if self.has_permission(request):
            return redirect("admin:index")
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
