"""What the simulation takes for granted: everything that no manifest says and nobody has measured on a card yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# DESIGN's table, from the subscription to the operation.
OPERATIONS = {
    "upscale-jobs-sub": "upscale",
    "enhance-jobs-sub": "enhance",
    "style-comic-jobs-sub": "style_comic",
    "style-aged-jobs-sub": "style_aged",
    "background-remove-jobs-sub": "background_remove",
}
# Seconds of a job that is alone, from its begin in a worker to its result in the bucket. The reference says "10 to 32
# in all"; which operation is where in that range is a guess by the size of its network and its number of steps.
SECONDS_ALONE: Mapping[str, float] = MappingProxyType(
    {"background_remove": 10, "upscale": 14, "style_comic": 20, "style_aged": 20, "enhance": 32}
)


@dataclass(frozen=True)
class Assumptions:
    """Seconds, unless a name says otherwise; ranges are even."""

    seconds_alone: Mapping[str, float] = field(default_factory=lambda: SECONDS_ALONE)
    # Of these, what the worker takes to fetch the photograph and to store the result: no card waits for it.
    download: float = 1.0
    upload: float = 2.0
    # Four pictures in one pass take half as long as four passes: the low end of the reference's "2 to 4 times".
    batch_gain: float = 2.0
    batch: int = 4
    # Passes differ from each other by so much, up or down.
    jitter: float = 0.1
    # A request that is alone waits for company for 100 ms (config.pbtxt); the metric counts it, 108 were measured.
    batching_delay: float = 0.108
    # Pub/Sub counts every minute, and Cloud Monitoring shows the count up to two minutes later.
    backlog_every: float = 60
    backlog_late: tuple[float, float] = (60, 120)
    # Triton is scraped and its rules are evaluated every 15 s; Managed Prometheus shows the result a little later.
    rules_every: float = 15
    rules_late: float = 30
    # A worker's pod: pull and start, with a new node for most of them.
    worker_start: tuple[float, float] = (20, 80)
    # A Triton's pod: a node with a T4, its driver, an image of many gigabytes, eleven gigabytes of weights, self-tests.
    card_start: tuple[float, float] = (240, 360)
    # How often the autoscalers look (--horizontal-pod-autoscaler-sync-period).
    sync: float = 15
    # What a stopping worker gives its jobs before it hands them back (DRAIN_SECONDS).
    drain: float = 12

    def seconds_on_card(self, operation: str, batch: int) -> float:
        """Return how long one pass takes the card, with so many pictures in it."""
        alone = self.seconds_alone[operation] - self.download - self.upload
        each_more = (self.batch / self.batch_gain - 1) / (self.batch - 1)
        return alone * (1 + (batch - 1) * each_more)
