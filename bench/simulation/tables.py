"""What a run showed, in Markdown."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.simulation.assumptions import Assumptions
from bench.simulation.manifests import QUEUE_SECONDS, TRITON
from bench.simulation.run import Scenario, simulate
from bench.simulation.timeline import REFERENCE, departures
from bench.tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.simulation.manifests import Deployed
    from bench.simulation.run import Result

# The reference's spike, which "10 times" multiplies.
SPIKE = 100
_STREAM_HOURS = 6


def timeline(deployed: Deployed, *, seeds: Sequence[int]) -> str:
    """Return the reference beside the range that runs of several seeds showed."""
    results = [simulate(deployed, scenario=Scenario(jobs=SPIKE, seed=seed)) for seed in seeds]
    rows = [("at", "the reference says", "reference", "simulated, median (lowest to highest)", "holds within", "holds")]
    for row in REFERENCE:
        values = [row.measure(result) for result in results]
        holds = sum(row.holds(value) for value in values)
        found = f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"
        rows.append((row.at, row.says, f"{row.wanted:g}", found, row.tolerance, f"{holds} of {len(values)}"))
    return table(f"{SPIKE} jobs at 0:05, {len(results)} seeds", rows)


def scale(deployed: Deployed, *, factors: Sequence[float], seed: int) -> str:
    """Return what becomes of so many times the reference's spike."""
    rows = [("", *_HEAD)]
    for factor in factors:
        result = simulate(deployed, scenario=Scenario(jobs=round(SPIKE * factor), seed=seed))
        rows.append((f"{factor:g}×: {len(result.jobs):,} jobs at once", *_figures(result)))
    return table("So many jobs at once", rows)


def limits(deployed: Deployed, *, factor: float, cards: Sequence[int], workers: Sequence[int], seed: int) -> str:
    """Return what other maxReplicas would make of one spike: first Triton's, then the workers'."""
    jobs = round(SPIKE * factor)
    rows = [("maxReplicas", *_HEAD)]
    for said, changed in (
        *((f"Triton {most}", with_most(deployed, cards=most)) for most in cards),
        *((f"each worker {most}", with_most(deployed, workers=most)) for most in workers),
    ):
        rows.append((said, *_figures(simulate(changed, scenario=Scenario(jobs=jobs, seed=seed)))))
    return table(f"{jobs:,} jobs at once, with other limits", rows)


def stream(deployed: Deployed, *, rates: Sequence[float], goals: Sequence[float], seed: int) -> str:
    """Return what a goal for the latency of Triton's queue means while a steady stream of jobs comes after a spike."""
    rows = [
        ("jobs a minute", "latency goal", "cards, on average", "computing", "p50", "p95", "card hours for 1,000 jobs")
    ]
    for rate in rates:
        for goal in goals:
            scenario = Scenario(jobs=SPIKE, jobs_a_minute=rate, hours=_STREAM_HOURS, seed=seed)
            result = simulate(with_latency(deployed, goal), scenario=scenario)
            during = [look.cards for look in result.looks if 0 <= look.at - scenario.spike_at <= _STREAM_HOURS * 3600]
            rows.append(
                (
                    f"{rate:g}",
                    f"{goal:g} s",
                    f"{statistics.mean(during):.1f}",
                    f"{result.cards_computing:.0%}",
                    _span(result.waited(50)),
                    _span(result.waited(95)),
                    f"{statistics.mean(during) * _STREAM_HOURS / len(result.jobs) * 1000:.1f}",
                )
            )
    return table(f"{SPIKE} jobs at once and a stream after them, {_STREAM_HOURS} hours", rows)


def guesses(deployed: Deployed, *, seed: int) -> str:
    """Return what the reference's spike becomes when one of the assumptions is another."""
    usual = Assumptions()
    rows = [("assumed", *_HEAD, "of the reference")]
    for said, assumed in (
        ("as above", usual),
        ("four pictures in a pass gain nothing", replace(usual, batch_gain=1)),
        ("four pictures in a pass are four times as fast", replace(usual, batch_gain=4)),
        ("every operation 10 s alone", replace(usual, seconds_alone=dict.fromkeys(usual.seconds_alone, 10))),
        ("every operation 32 s alone", replace(usual, seconds_alone=dict.fromkeys(usual.seconds_alone, 32))),
        ("a card comes in 2 minutes", replace(usual, card_start=(120, 120))),
        ("a card comes in 20 minutes", replace(usual, card_start=(1200, 1200))),
        ("Pub/Sub's count is never late", replace(usual, backlog_every=1, backlog_late=(0, 0))),
    ):
        result = simulate(deployed, assumed=assumed, scenario=Scenario(jobs=SPIKE, seed=seed))
        held = len(REFERENCE) - len(departures(result))
        rows.append((said, *_figures(result), f"{held} of {len(REFERENCE)}"))
    return table(f"{SPIKE} jobs at once, with other guesses", rows)


def with_most(deployed: Deployed, *, cards: int | None = None, workers: int | None = None) -> Deployed:
    """Return the same with other maxReplicas for Triton or for each worker."""
    wanted = {name: cards if name == TRITON else workers for name in deployed.autoscalers}
    changed = {
        name: each if wanted[name] is None else replace(each, maximum=wanted[name])
        for name, each in deployed.autoscalers.items()
    }
    return replace(deployed, autoscalers=changed)


def with_latency(deployed: Deployed, goal: float) -> Deployed:
    """Return the same with another goal for the latency of Triton's queue, in seconds."""
    triton = deployed.autoscalers[TRITON]
    targets = tuple(replace(each, goal=goal) if each.metric == QUEUE_SECONDS else each for each in triton.targets)
    return replace(deployed, autoscalers={**deployed.autoscalers, TRITON: replace(triton, targets=targets)})


_HEAD = ("drained after", "p50", "p95", "most workers", "most cards", "cards computing", "card hours")


def _figures(result: Result) -> tuple[str, ...]:
    drained = result.drained_at
    return (
        "not" if drained is None else _span(drained - result.scenario.spike_at),
        _span(result.waited(50)),
        _span(result.waited(95)),
        str(max(look.workers for look in result.looks)),
        str(max(look.cards for look in result.looks)),
        f"{result.cards_computing:.0%}",
        f"{result.cards_paid_hours:.1f}",
    )


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
