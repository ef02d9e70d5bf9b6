"""Autoscalers in Python, for tests that need no kubectl."""

from __future__ import annotations

from bench.simulation.assumptions import OPERATIONS
from bench.simulation.autoscaler import Autoscaler, Policy, Rules, Target
from bench.simulation.manifests import PENDING_REQUESTS, QUEUE_SECONDS, TRITON, Deployed

UP = Rules(window=0, policies=(Policy("Pods", 4, 120), Policy("Percent", 100, 120)))
DOWN = Rules(window=600, policies=(Policy("Percent", 50, 300), Policy("Pods", 5, 300)))


def deployed(*, cards: tuple[int, int] = (1, 3), workers: tuple[int, int] = (1, 20)) -> Deployed:
    """Return a deployment with so few and so many cards, and workers of each operation."""
    triton = Autoscaler(
        TRITON,
        *cards,
        (Target(QUEUE_SECONDS, "Value", 10), Target(PENDING_REQUESTS, "AverageValue", 8)),
        up=Rules(window=60, policies=(Policy("Pods", 1, 900),)),
        down=Rules(window=600, policies=(Policy("Pods", 1, 300),)),
    )
    each = {
        f"{name}-worker": Autoscaler(f"{name}-worker", *workers, (Target(name, "AverageValue", 2),), up=UP, down=DOWN)
        for name in OPERATIONS
    }
    return Deployed({TRITON: triton, **each}, jobs_of_a_worker=2, threads_of_a_model=4)
