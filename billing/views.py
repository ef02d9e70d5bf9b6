"""The page that says what an account has and where its credits went."""

from dataclasses import asdict
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.views import SignedInRequest
from billing import services
from billing.models import Kind


@login_required
@require_safe
def credit_page(request: SignedInRequest) -> HttpResponse:
    account = request.user.account
    context = {"balance": services.balance(account), "lines": [_line(each) for each in services.statement(account)]}
    return render(request, "billing/credits.html", context)


def _line(line: services.StatementLine) -> dict[str, object]:
    """Return a line for the page; work is named by its job's id, and leads there."""
    try:
        job = UUID(line.reference) if line.kind in {Kind.HOLD, Kind.CAPTURE, Kind.RELEASE} else None
    except ValueError:
        job = None
    return {**asdict(line), "job": job}
