"""One page between an action of the admin and its deed: it says what will happen, and to which rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.template.response import TemplateResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest

    from accounts.admin_base import OperatorAdmin

_FIELD = "confirmed"


@dataclass(frozen=True)
class Question:
    """rows: id, name and a remark of each thing that the action is about."""

    title: str
    warning: str
    action: str
    rows: Sequence[tuple[str, str, str]]
    confirm: str
    # What cannot be taken back.
    danger: bool = False
    back_to: str = ""
    # A token for each time that the page is shown: a deed that is charged for is done once for each token.
    token: str = field(default_factory=lambda: uuid4().hex)


def confirmed(request: HttpRequest) -> str:
    """Return the token of the page that was confirmed, empty where nobody was asked yet."""
    return request.POST.get(_FIELD, "")[:32]


def ask(model_admin: OperatorAdmin, request: HttpRequest, question: Question) -> TemplateResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": question.title,
        "question": question,
        "checkbox": ACTION_CHECKBOX_NAME,
        "token_field": _FIELD,
        "back": request.POST.get("back", ""),
    }
    return TemplateResponse(request, "admin/confirm.html", context)
