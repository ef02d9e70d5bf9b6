"""What a run would do, found out without doing any of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import billing.services
from jobs.bulk.run import made_before, sentence_of
from jobs.bulk.work import DoneOtherwise, NotDone, Skipped
from jobs.errors import JobError, Unavailable
from jobs.operations import MEGAPIXEL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accounts.models import Account
    from jobs.bulk.progress import Progress
    from jobs.bulk.work import Work
    from jobs.services import JobService


@dataclass
class Plan:
    """Counts by operation, reason, code and account: as long as there are accounts, however many jobs."""

    run: str
    pixels: int = 0
    made_before: int = 0
    jobs: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    credits: dict[Account, int] = field(default_factory=dict)

    def in_words(self) -> str:
        total, by_operation = self.jobs.total(), ", ".join(f"{name} {count:,}" for name, count in self.jobs.items())
        jobs = f"{total:,} job{'s'[: total != 1]} ({by_operation or 'none'})"
        pays = f"{self.pixels / MEGAPIXEL:,.1f} megapixels for {sum(self.credits.values()):,} credits"
        lines = [f"Would make {jobs} of {pays}. Run: {self.run}"]
        lines += [_bill(account, price) for account, price in self.credits.items()]
        if self.made_before:
            lines.append(f"Made before by this run: {self.made_before:,}")
        for name, counts in (("Would skip", self.skipped), ("Would fail", self.failed)):
            lines += [f"{name}: {code} {count:,}" for code, count in counts.most_common()]
        return "\n".join([*lines, "Nothing was changed."])

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "dry_run": True,
            "jobs": self.jobs.total(),
            "operations": dict(self.jobs),
            "megapixels": self.pixels / MEGAPIXEL,
            "made_before": self.made_before,
            "credits": sum(self.credits.values()),
            "accounts": {str(account.pk): price for account, price in self.credits.items()},
            "skipped": dict(self.skipped),
            "failed": dict(self.failed),
        }


def plan(works: Iterable[Work], *, run: str, service: JobService, progress: Progress) -> Plan:
    """Look at every piece of work and add up what would be made of it."""
    found = Plan(run)
    for work in works:
        try:
            _add(found, work, service)
        except Skipped as reason:
            found.skipped[reason.code] += 1
            progress.tell(reason.code, f"{work.name}: would be skipped. {reason}")
        except Unavailable:
            raise
        except (JobError, NotDone) as error:
            found.failed[error.code] += 1
            progress.tell(error.code, f"{work.name}: {sentence_of(error)}")
        progress.step()
    return found


def _add(found: Plan, work: Work, service: JobService) -> None:
    earlier = made_before(work.account, f"{found.run}:{work.key()}")
    if earlier is not None:
        if not work.is_of(earlier):
            raise DoneOtherwise(found.run)
        found.made_before += 1
        return
    submission = work.sketch()
    found.jobs[submission.operation.name] += 1
    found.pixels += submission.upload.pixels
    found.credits[work.account] = found.credits.get(work.account, 0) + service.price(submission)


def _bill(account: Account, price: int) -> str:
    available = billing.services.balance(account).available
    short = "" if available >= price else "; too few: the run would leave out what they do not pay for"
    return f"{account} ({account.pk}): {price:,} credits of {available:,}{short}"
