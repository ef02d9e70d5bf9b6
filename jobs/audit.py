"""Whether the ledger says of settled jobs what their ends say: that each was charged once, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import structlog

import billing.services
from jobs.states import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.models import Job, JobQuerySet

log = structlog.get_logger(__name__)
_CHUNK = 300


@dataclass(frozen=True)
class Discrepancy:
    """A settled job whose credits moved otherwise than its end says; each movement is a kind and an amount."""

    job_id: str
    status: str
    expected: tuple[tuple[str, int], ...]
    found: tuple[tuple[str, int], ...]


def audit(jobs: JobQuerySet) -> Iterator[Discrepancy]:
    """
    Yield those of the settled jobs that the ledger disagrees with, and log each as `ledger_disagrees`.

    The constraints of the ledger refuse every way that we know to charge twice. This asks the rows themselves, so that
    it also finds what a lost constraint, a restored backup or a hand in the database has done.
    """
    settled = jobs.exclude(settled_at=None).only("id", "status", "credits").iterator(chunk_size=_CHUNK)
    while chunk := list(islice(settled, _CHUNK)):
        outcomes = billing.services.outcomes(str(job.id) for job in chunk)
        for job in chunk:
            expected, found = _expected(job), tuple(sorted(outcomes.get(str(job.id), [])))
            if found != expected:
                log.error("ledger_disagrees", job_id=str(job.id), status=job.status, expected=expected, found=found)
                yield Discrepancy(str(job.id), job.status, expected, found)


def _expected(job: Job) -> tuple[tuple[str, int], ...]:
    if not job.credits:
        return ()
    return (("capture" if job.status == JobStatus.COMPLETED else "release", job.credits),)
