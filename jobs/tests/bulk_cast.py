"""A bulk run over memory, whose clock moves only when it waits."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.bulk.follow import Follower
from jobs.bulk.pace import Pace
from jobs.bulk.progress import Progress
from jobs.bulk.run import BulkRun
from jobs.bulk.stop import Stop
from jobs.bulk.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobs.bulk.work import Work
    from jobs.models import Job
    from jobs.tests.conftest import World


@dataclass
class PatientStop(Stop):
    """Waits for nothing; `meanwhile` is what happens in the world during each wait."""

    meanwhile: Callable[[], None] = lambda: None
    waited: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        Stop.__init__(self)

    def wait(self, seconds: float) -> None:
        self.check()
        self.waited.append(seconds)
        self.meanwhile()
        self.check()


@dataclass
class Bulk:
    """Runs works in a world; every call is one call of a command."""

    world: World
    name: str = "test-run"
    seconds_between: float = 0.0
    max_queued: int = 1_000
    unfinished: Callable[[int], int] = lambda _most: 0
    stop: PatientStop = field(default_factory=PatientStop)
    said: io.StringIO = field(default_factory=io.StringIO)

    def run(
        self, works: Iterable[Work], *, wait: bool = False, keep: Callable[[Job, str], None] = lambda _job, _name: None
    ) -> Summary:
        summary = Summary(self.name)
        progress = Progress(self.said, total=None, line=lambda: summary.line)
        clock, service = self.world.clock, self.world.service
        follower = Follower(service, summary, progress, clock, keep) if wait else None
        pace = Pace(
            self.seconds_between, self.max_queued, self.unfinished, lambda: sum(self.stop.waited), self.stop.wait
        )
        BulkRun(self.name, service, pace, self.stop, progress, summary, clock, follower).work_through(works)
        return summary
