"""Using the admin as an operator does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import Account, User

if TYPE_CHECKING:
    from django.http import HttpResponse

    from jobs.models import Job


JOBS = "/admin/jobs/job/"


def page_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def act(operator: Client, action: str, *jobs: Job, **more: str) -> HttpResponse:
    chosen = {"action": action, "_selected_action": [str(job.pk) for job in jobs], **more}
    return operator.post(JOBS, chosen, follow=True)


def said(answer: HttpResponse) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def staff(account: Account, *permissions: str) -> Client:
    """A browser of somebody who may do a few things in the admin."""
    person = User.objects.create(account=account, email="sam@example.com", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(person)
    return client
