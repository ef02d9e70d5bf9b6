"""Pages for people: sign in, sign out, API keys."""

from typing import Any
from uuid import UUID

from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts import errors, services
from accounts.forms import ApiKeyForm, SignInForm
from accounts.models import Account, ApiKey, User
from accounts.throttle import client_address, sign_ins


class SignedInRequest(HttpRequest):
    """What a view behind login_required gets."""

    user: User


class SignInView(auth_views.LoginView):
    authentication_form = SignInForm
    template_name = "accounts/login.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401
        try:
            sign_ins.begin(email=self._email(), address=client_address(request))
        except errors.TooManyAttempts as refusal:
            context = self.get_context_data(form=SignInForm(request), refusal=str(refusal))
            answer = self.render_to_response(context, status=429)
            answer["Retry-After"] = str(refusal.retry_after)
            return answer
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        sign_ins.succeed(email=self._email(), address=client_address(self.request))
        return super().form_valid(form)

    def _email(self) -> str:
        return self.request.POST.get("username", "")


class SignOutView(auth_views.LogoutView):
    http_method_names = ["post", "options"]


@login_required
@never_cache
@sensitive_variables("text")
@require_http_methods(["GET", "HEAD", "POST"])
def keys(request: SignedInRequest) -> HttpResponse:
    """List the account's keys; POST makes one and shows its text in this answer, which nothing keeps."""
    account = request.user.account
    if request.method != "POST":
        return render(request, "accounts/keys.html", {"form": ApiKeyForm(), "keys": _rows(account)})
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        return render(request, "accounts/keys.html", {"form": form, "keys": _rows(account)}, status=422)
    # Live ones only: a test key would be charged like any other until test jobs exist.
    _, text = services.create_api_key(
        account=account,
        mode=ApiKey.Mode.LIVE,
        created_by=request.user,
        now=timezone.now(),
        **form.cleaned_data,
    )
    context = {"form": ApiKeyForm(), "keys": _rows(account), "new_key": text}
    return render(request, "accounts/keys.html", context, status=201)


@login_required
@require_POST
def revoke_key(request: SignedInRequest, key_id: UUID) -> HttpResponse:
    try:
        services.revoke_api_key(account=request.user.account, key_id=key_id, now=timezone.now())
    except errors.ApiKeyNotFound as error:
        raise Http404(str(error)) from error
    return redirect("accounts:keys")


def _rows(account: Account) -> list[dict[str, object]]:
    return [
        {
            "id": key.id,
            "name": key.name,
            "prefix": f"img_{key.mode}_{key.prefix}_…",
            "scopes": ", ".join(key.scopes),
            "created_at": key.created_at,
            "last_used_at": key.last_used_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
        }
        for key in ApiKey.objects.filter(account=account).order_by("-created_at")
    ]
