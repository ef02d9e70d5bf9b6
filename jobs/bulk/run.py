"""A bulk run: every piece of work becomes one job, exactly once, however often the run is broken off and repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from billing.errors import InsufficientCredits
from jobs.bulk.outages import OUTAGES, patiently
from jobs.bulk.stop import Stopped
from jobs.bulk.work import DoneOtherwise, NotDone, Skipped
from jobs.errors import JobError, Unavailable
from jobs.models import IdempotencyRecord, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from uuid import UUID

    from accounts.models import Account
    from jobs.bulk.follow import Follower
    from jobs.bulk.pace import Pace
    from jobs.bulk.progress import Progress
    from jobs.bulk.stop import Stop
    from jobs.bulk.summary import Summary
    from jobs.bulk.work import Work
    from jobs.services import JobService

_LOOK_EVERY_SECONDS = 0.5
_Answer = TypeVar("_Answer")


class CannotGoOn(Exception):
    """Something of this machine stands in the way, such as a full disk; the sentence says what."""


@dataclass
class BulkRun:
    """
    Works one piece after the other, and holds one photo at a time.

    The key of each job is the run's name and the work's own, so that the service itself makes it once; what was made
    before is known by it without reading the photo. follower: given when the jobs are to be followed to their end.
    """

    name: str
    service: JobService
    pace: Pace
    stop: Stop
    progress: Progress
    summary: Summary
    now: Callable[[], datetime]
    follower: Follower | None = None
    _out_of_credit: set[UUID] = field(default_factory=set)

    def work_through(self, works: Iterable[Work]) -> None:
        """Do all of it, or as much as can be done; the summary says which. Raises KeyboardInterrupt alone."""
        try:
            for work in works:
                self.stop.check()
                self._work(work)
                self._look()
            self._follow_to_the_end()
        except Stopped:
            self.summary.broken_off = "Stopped as asked."
        except CannotGoOn as error:
            self.summary.broken_off = str(error)
        except OUTAGES as error:
            sentence = str(error) if isinstance(error, Unavailable) else "The database does not answer."
            self.summary.broken_off = f"{sentence} Given up after waiting for it."
        finally:
            self.progress.close()

    def _work(self, work: Work) -> None:
        try:
            self._make(work)
        except Skipped as reason:
            self.summary.skipped[reason.code] += 1
            self.progress.tell(reason.code, f"{work.name}: skipped. {reason}")
        except InsufficientCredits as error:
            self._run_dry(work.account, error)
        except Unavailable:
            raise
        except (JobError, NotDone) as error:
            self.summary.failed[error.code] += 1
            self.progress.tell(error.code, f"{work.name}: {sentence_of(error)}")
        else:
            return
        self.progress.step()

    def _make(self, work: Work) -> None:
        key = f"{self.name}:{work.key()}"
        earlier = self._patiently(lambda: made_before(work.account, key))
        if earlier is not None:
            if not work.is_of(earlier):
                raise DoneOtherwise(self.name)
            self.summary.made_before += 1
            self._made(earlier, work)
            return
        if work.account.pk in self._out_of_credit:
            self.summary.failed[InsufficientCredits.code] += 1
            self.progress.step()
            return
        submission = self._patiently(lambda: work.understand(key))
        self._patiently(lambda: self.pace.wait(self._idle))
        job = self._patiently(lambda: self.service.submit(submission, now=self.now()))
        self.summary.made += 1
        self.summary.credits += job.credits
        self._made(job, work)

    def _made(self, job: Job, work: Work) -> None:
        if self.follower is None:
            self.progress.step()
            return
        self.follower.add(job, work.name)

    def _run_dry(self, account: Account, error: InsufficientCredits) -> None:
        self._out_of_credit.add(account.pk)
        self.summary.failed[error.code] += 1
        self.progress.say(f"{account} ({account.pk}): {error} Its other photos are left out; others go on.")

    def _idle(self, why: str) -> None:
        self.progress.note(why)
        self._look()

    def _look(self) -> None:
        if self.follower is not None:
            self._patiently(self.follower.look)

    def _follow_to_the_end(self) -> None:
        while self.follower is not None and self.follower.pending:
            self._look()
            if self.follower.pending:
                self.progress.note(f"{len(self.follower.pending):,} under way")
                self.stop.wait(_LOOK_EVERY_SECONDS)

    def _patiently(self, call: Callable[[], _Answer]) -> _Answer:
        return patiently(call, sleep=self.stop.wait)


def made_before(account: Account, key: str) -> Job | None:
    """Return the job that an earlier call of the run made for this key."""
    record = IdempotencyRecord.objects.select_related("job").filter(account=account, key=key).first()
    return record.job if record else None


def sentence_of(error: Exception) -> str:
    """Return the error as one sentence, with those of single parameters where it has them."""
    single = getattr(error, "errors", {})
    return str(error) + "".join(f" {name}: {' '.join(sentences)}" for name, sentences in single.items())
