"""
The formula: what 1,000 images cost, and what a month does.

A card is paid by the hour, used or not, so its seconds are divided by how much of its time it works (utilisation).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from imagen_site.cost import site, work
from imagen_site.cost.work import NO_CARD, Work
from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagen_site.cost.prices import PriceList

HOURS, SECONDS = 730, 3600
# As the manifests say (k8s/workers): what a worker asks for, the jobs that it has at once, and how many always run.
WORKER_CPUS, WORKER_GIB, WORKER_JOBS, WORKERS = 0.25, 0.5, 2, len(OPERATIONS)
# What the machines in prices.toml have; of that GKE keeps some for itself.
MACHINE_GIB = {"t4": 30, "l4": 32}
# A worker fetches and stores the picture too.
WORKER_SECONDS = 2.0
# One core of a machine without a card, for the light engines: an n1-standard-8 has eight.
CORES = 8
# Writes and reads of a job's live state: claim, end, and one a second between them, each sent to one open page.
STATE_WRITES = 12
# The photo and its result, a week each.
STORED_MB, STORED_MONTHS = 8.0, 7 / 30


@dataclass(frozen=True)
class Plan:
    """
    What is to be paid for.

    images: a month. mix: the share of each operation, 1 in all. utilisation: of a card's paid time, what it works
    while there is work. spot: the cards' machines may be taken away; workers always may.
    """

    prices: PriceList
    card: str = "t4"
    spot: bool = True
    utilisation: float = 0.5
    images: int = 10_000
    mix: Mapping[str, float] = field(default_factory=lambda: {name: 1 / len(OPERATIONS) for name in OPERATIONS})

    @property
    def work(self) -> Mapping[str, Work]:
        return work.of_each_operation(self.card)

    @property
    def machine_hour(self) -> float:
        """Dollars for an hour of the machine that Triton runs on, card and all."""
        kind = "spot" if self.spot else "on_demand"
        if self.card == "l4":
            return self.prices[f"l4_machine_{kind}"]
        machine = self.prices[f"t4_machine_{kind}"]
        return machine if self.card == NO_CARD else machine + self.prices[f"t4_{kind}"]

    def machine_seconds(self, operation: str) -> float:
        """Return the seconds of the machine that one image takes while it does nothing else."""
        seconds = self.work[operation].seconds
        return seconds / CORES if self.card == NO_CARD else seconds

    @property
    def mean_seconds(self) -> float:
        return sum(share * self.machine_seconds(name) for name, share in self.mix.items())

    @property
    def mean_megabytes(self) -> float:
        return sum(share * self.work[name].megabytes for name, share in self.mix.items())


def bookkeeping(prices: PriceList) -> float:
    """Return dollars for the live state and the stored objects of 1,000 images."""
    state = 1000 * STATE_WRITES / 100_000 * (prices["firestore_writes"] + prices["firestore_reads"])
    objects = 2 * prices["storage_writes"] + 1000 * STORED_MB / 1024 * STORED_MONTHS * prices["storage"]
    return state + objects


def per_thousand(plan: Plan, operation: str) -> float:
    """Return dollars for 1,000 images of one operation, on a card that works for `utilisation` of its paid time."""
    machine = 1000 * plan.machine_seconds(operation) * plan.machine_hour / (SECONDS * plan.utilisation)
    egress = 1000 * plan.work[operation].megabytes / 1024 * plan.prices["egress"]
    return machine + egress + bookkeeping(plan.prices)


def per_thousand_mixed(plan: Plan) -> float:
    return sum(share * per_thousand(plan, name) for name, share in plan.mix.items())


def machine_hours(plan: Plan) -> float:
    """Return the hours of Triton's machines in a month: one always runs."""
    return max(HOURS, plan.images * plan.mean_seconds / (SECONDS * plan.utilisation))


def worker_hours(plan: Plan) -> float:
    """Return the hours of workers in a month: one for each operation always runs, and each job holds half of one."""
    return max(WORKERS * HOURS, plan.images * (plan.mean_seconds + WORKER_SECONDS) / (SECONDS * WORKER_JOBS))


def worker_hour(prices: PriceList) -> float:
    return WORKER_CPUS * prices["worker_cpu_spot"] + WORKER_GIB * prices["worker_memory_spot"]


def cloud_sql(prices: PriceList) -> float:
    """Return dollars a month for the database, in each zone that has it."""
    database = site.DATABASE
    machine = HOURS * (database.machine.cpus * prices["sql_cpu"] + database.machine.gib * prices["sql_memory"])
    return database.zones * (machine + database.disk_gib * prices["sql_disk"])


def cloud_run(prices: PriceList) -> float:
    """Return dollars a month for the instances that always run. Not counted: more of web's, one for 100 open pages."""
    containers = [container for service in site.SERVICES.values() for container in service]
    second = sum(each.cpus * prices["run_cpu"] + each.gib * prices["run_memory"] for each in containers)
    return HOURS * SECONDS * second


def month(plan: Plan) -> dict[str, float]:
    """Return dollars a month by what they are for."""
    prices = plan.prices
    return {
        "Triton's machines": machine_hours(plan) * plan.machine_hour,
        "workers": worker_hours(plan) * worker_hour(prices),
        "cluster": HOURS * prices["cluster"],
        "Cloud SQL": cloud_sql(prices),
        f"Redis, {site.REDIS_GIB} GB": HOURS * site.REDIS_GIB * prices["redis"],
        "load balancer": HOURS * prices["load_balancer"],
        "Cloud NAT": HOURS * prices["nat"],
        "Cloud Run": cloud_run(prices),
        "pictures to callers": plan.images * plan.mean_megabytes / 1024 * prices["egress"],
        "live state and storage": plan.images / 1000 * bookkeeping(prices),
    }


def hosted_break_even(plan: Plan) -> tuple[float, float]:
    """
    Return from where a machine of one's own is cheaper than seconds of a hosted T4: its use, and images a month.

    A use above 1 is never reached. Both are of the card alone: site, queue and storage are needed either way.
    """
    hosted = replace(plan, card="t4").mean_seconds * plan.prices["hosted_t4"]
    images = HOURS * plan.machine_hour / hosted
    return images * plan.mean_seconds / (HOURS * SECONDS), images
