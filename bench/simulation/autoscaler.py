"""
The algorithm of Kubernetes' HorizontalPodAutoscaler (autoscaling/v2), as its documentation describes it.

Pure: whoever calls says what time it is and what the metrics read. Seconds everywhere.
https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A metric this close to its goal changes nothing (--horizontal-pod-autoscaler-tolerance).
TOLERANCE = 0.1


@dataclass(frozen=True)
class Policy:
    """At most so many pods, or so many percent of the pods, in a period."""

    kind: Literal["Pods", "Percent"]
    value: int
    period: float


@dataclass(frozen=True)
class Rules:
    """How fast one direction goes; select is Max, Min or Disabled."""

    window: float
    policies: tuple[Policy, ...]
    select: Literal["Max", "Min", "Disabled"] = "Max"


# What Kubernetes assumes where a manifest says nothing.
DEFAULT_UP = Rules(window=0, policies=(Policy("Percent", 100, 15), Policy("Pods", 4, 15)))
DEFAULT_DOWN = Rules(window=300, policies=(Policy("Percent", 100, 15),))


@dataclass(frozen=True)
class Target:
    """What one metric should be: Value in all, AverageValue for each replica."""

    metric: str
    kind: Literal["Value", "AverageValue"]
    goal: float

    def proposal(self, reading: float, *, replicas: int, ready: int) -> int:
        """Return how many replicas this metric alone would have."""
        if self.kind == "AverageValue":
            return _unless_close(reading / (self.goal * replicas), replicas, math.ceil(reading / self.goal))
        return _unless_close(reading / self.goal, replicas, math.ceil(reading / self.goal * ready))


@dataclass(frozen=True)
class Autoscaler:
    """The settings of one autoscaler, whatever its manifest looks like."""

    deployment: str
    minimum: int
    maximum: int
    targets: tuple[Target, ...]
    up: Rules = DEFAULT_UP
    down: Rules = DEFAULT_DOWN


@dataclass(frozen=True)
class _Change:
    at: float
    pods: int


class Controller:
    """One autoscaler at work: remembers what it recommended and what it changed."""

    def __init__(self, settings: Autoscaler, *, replicas: int, now: float = 0) -> None:
        self.settings = settings
        # The controller begins with what it finds, so that a restart of it stops nothing.
        self._recommended: deque[_Change] = deque([_Change(now, replicas)])
        self._changes: deque[_Change] = deque()

    def decide(self, *, now: float, replicas: int, ready: int, readings: Mapping[str, float | None]) -> int:
        """
        Return how many replicas there should be; at most one call for each sync period.

        readings: by the name of the metric; None where it could not be read.
        """
        wanted = self._recommendation(replicas=replicas, ready=ready, readings=readings)
        if wanted is None:
            return replicas
        decided = self._rate_limited(self._stabilized(wanted, now=now, replicas=replicas), now=now, replicas=replicas)
        if decided != replicas:
            self._changes.append(_Change(now, decided - replicas))
        return decided

    def _recommendation(self, *, replicas: int, ready: int, readings: Mapping[str, float | None]) -> int | None:
        known = {target: readings.get(target.metric) for target in self.settings.targets}
        if replicas == 0:
            # KEDA's operator, or Kubernetes from 1.37 on, starts the first one as soon as there is anything.
            return int(any(reading for reading in known.values()))
        proposals = [
            target.proposal(reading, replicas=replicas, ready=ready)
            for target, reading in known.items()
            if reading is not None
        ]
        # What cannot be read might have asked for more: nothing goes down then.
        if not proposals or (len(proposals) < len(known) and max(proposals) < replicas):
            return None
        return min(self.settings.maximum, max(self.settings.minimum, *proposals))

    def _stabilized(self, wanted: int, *, now: float, replicas: int) -> int:
        up = min([wanted, *self._since(now - self.settings.up.window)])
        down = max([wanted, *self._since(now - self.settings.down.window)])
        self._recommended.append(_Change(now, wanted))
        longest = max(self.settings.up.window, self.settings.down.window)
        while self._recommended and self._recommended[0].at <= now - longest:
            self._recommended.popleft()
        return min(max(replicas, up), down)

    def _since(self, cutoff: float) -> Iterable[int]:
        return (each.pods for each in self._recommended if each.at > cutoff)

    def _rate_limited(self, wanted: int, *, now: float, replicas: int) -> int:
        if wanted > replicas:
            return max(replicas, min(wanted, self._ceiling(now=now, replicas=replicas)))
        if wanted < replicas:
            return min(replicas, max(wanted, self._floor(now=now, replicas=replicas)))
        return replicas

    def _ceiling(self, *, now: float, replicas: int) -> int:
        limits = []
        for policy in self.settings.up.policies:
            start = self._at_period_start(policy, now=now, replicas=replicas)
            grown = start + policy.value if policy.kind == "Pods" else math.ceil(start * (1 + policy.value / 100))
            limits.append(grown)
        return _selected(self.settings.up.select, limits, widest=max, narrowest=min, none=replicas)

    def _floor(self, *, now: float, replicas: int) -> int:
        limits = []
        for policy in self.settings.down.policies:
            start = self._at_period_start(policy, now=now, replicas=replicas)
            shrunk = start - policy.value if policy.kind == "Pods" else int(start * (1 - policy.value / 100))
            limits.append(shrunk)
        return _selected(self.settings.down.select, limits, widest=min, narrowest=max, none=replicas)

    def _at_period_start(self, policy: Policy, *, now: float, replicas: int) -> int:
        return replicas - sum(change.pods for change in self._changes if change.at > now - policy.period)


def _unless_close(ratio: float, replicas: int, proposal: int) -> int:
    return replicas if abs(ratio - 1) <= TOLERANCE else proposal


def _selected(select: str, limits: list[int], *, widest, narrowest, none: int) -> int:  # noqa: ANN001 - min or max
    if select == "Disabled":
        return none
    return widest(limits) if select == "Max" else narrowest(limits)
