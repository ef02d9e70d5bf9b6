"""The page that says what an account has and where its credits went."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.views import SignedInRequest
from billing import services


@login_required
@require_safe
def credit_page(request: SignedInRequest) -> HttpResponse:
    account = request.user.account
    context = {"balance": services.balance(account), "lines": services.statement(account)}
    return render(request, "billing/credits.html", context)
