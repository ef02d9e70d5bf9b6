"""What an account may do: its plan's limits, or its own where the admin gave it some; and whether it has room now."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from accounts.models import Plan
from jobs.errors import AccountClosed, TooManyJobs, TooManySubmits
from jobs.models import Job
from jobs.operations import MEGAPIXEL, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from accounts.models import Account

MEGABYTE = 1024 * 1024
# What no account may go beyond: larger bodies and pictures are refused by the site's front door and the model server.
CEILING = Limits()
PLANS: Mapping[str, Limits] = {
    Plan.FREE: CEILING,
    Plan.PRO: replace(CEILING, max_unfinished_jobs=1_000, max_submits_per_minute=600),
}
_MINUTE = timedelta(minutes=1)


def limits_of(account: Account) -> Limits:
    """Return what an account may send: its own limits where it has some, else its plan's."""
    plan = PLANS[account.plan]
    return replace(
        plan,
        max_bytes=min(_own(account.max_upload_megabytes, MEGABYTE, plan.max_bytes), CEILING.max_bytes),
        max_upload_bytes=min(
            _own(account.max_upload_megabytes, MEGABYTE, plan.max_upload_bytes), CEILING.max_upload_bytes
        ),
        max_pixels=min(_own(account.max_input_megapixels, MEGAPIXEL, plan.max_pixels), CEILING.max_pixels),
        max_output_pixels=min(
            _own(account.max_output_megapixels, MEGAPIXEL, plan.max_output_pixels), CEILING.max_output_pixels
        ),
        max_unfinished_jobs=_own(account.max_unfinished_jobs, 1, plan.max_unfinished_jobs),
        max_submits_per_minute=_own(account.max_submits_per_minute, 1, plan.max_submits_per_minute),
    )


def check_open(limits: Limits) -> None:
    """Raise AccountClosed for an account that may have no job at all."""
    if limits.max_unfinished_jobs == 0:
        raise AccountClosed


def check_quota(account: Account, limits: Limits, *, now: datetime, but: Job | None = None) -> None:
    """
    Raise AccountClosed, TooManyJobs or TooManySubmits where the account has no room for one more job beside `but`.

    Exact among several at once only where the caller holds a lock of the account's; the ledger's hold takes one.
    """
    check_open(limits)
    jobs = Job.objects.owned_by(account.pk).filter(beyond_quota=False)
    if but is not None:
        jobs = jobs.exclude(pk=but.pk)
    # A slice, so that an account with many jobs costs no more than its limit.
    if jobs.unsettled()[: limits.max_unfinished_jobs].count() >= limits.max_unfinished_jobs:
        raise TooManyJobs(limits.max_unfinished_jobs)
    # With one more there would be more than the limit within a minute: the one that must be older, if there is one.
    position = limits.max_submits_per_minute - 1
    decisive = jobs.order_by("-requested_at", "-id").values_list("requested_at", flat=True)[position:][:1]
    for requested_at in decisive:
        wait = requested_at + _MINUTE - now
        if wait > timedelta(0):
            raise TooManySubmits(limits.max_submits_per_minute, retry_after=math.ceil(wait.total_seconds()))


def _own(own: int | None, unit: int, plans: int) -> int:
    return plans if own is None else own * unit
