"""Following the jobs that a run has made to their end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.errors import ObjectMissing
from jobs.models import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from jobs.bulk.progress import Progress
    from jobs.bulk.summary import Summary
    from jobs.services import JobService


@dataclass
class Follower:
    """
    Knows the jobs that have not ended, by their works' names: never more than may be unfinished at once.

    `keep` does what is to be done with a result, and may be called twice for one.
    """

    service: JobService
    summary: Summary
    progress: Progress
    now: Callable[[], datetime]
    keep: Callable[[Job, str], None] = field(default=lambda _job, _name: None)
    pending: dict[UUID, str] = field(default_factory=dict)

    def add(self, job: Job, name: str) -> None:
        self.pending[job.id] = name

    def look(self) -> None:
        """Count what has ended since the last look; raises an outage, and then the next look does the rest."""
        if not self.pending:
            return
        unsettled = Job.objects.unsettled().filter(id__in=list(self.pending))
        for job_id in list(unsettled.values_list("id", flat=True)):
            # Where the worker has no SQL it is us or the sweep who settles, whoever looks first.
            self.service.settle(job_id, now=self.now())
        for job in Job.objects.filter(id__in=list(self.pending)).exclude(settled_at=None):
            self._ended(job, self.pending[job.id])
            del self.pending[job.id]
            self.progress.step()

    def _ended(self, job: Job, name: str) -> None:
        if job.status == "cancelled":
            self.summary.skipped["cancelled"] += 1
            return
        if job.status != "completed":
            self._failed(name, job.error_code, job.error_message)
            return
        try:
            self.keep(job, name)
        except ObjectMissing as error:
            self._failed(name, error.code, "The result has expired and was deleted.")
            return
        self.summary.completed += 1
        self.summary.charged += job.credits

    def _failed(self, name: str, code: str, sentence: str) -> None:
        self.summary.failed[code] += 1
        self.progress.tell(code, f"{name}: {sentence}")
