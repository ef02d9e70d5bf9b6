"""
What of the site runs all month, as Terraform deploys prod: a test holds each figure to it (tests/terraform).

In dev webhooks has no processor of its own, web sleeps while nobody looks, and the database is a smaller one in one
zone: how much that is depends on who is there, so the model does not say it.
"""

from __future__ import annotations

from dataclasses import dataclass

ENVIRONMENT = "prod"


@dataclass(frozen=True)
class Size:
    """What a container or a machine has."""

    cpus: float
    gib: float


@dataclass(frozen=True)
class Database:
    """A zone that has a copy costs what the first one does, machine and disk."""

    machine: Size
    disk_gib: float
    zones: int


# Google's collector of metrics, beside each service.
COLLECTOR = Size(0.2, 0.25)
# One instance of each: web's is its minimum, and the clock's call every minute lets webhooks not sleep. Both are paid
# for as long as they are there (docs/decisions/0043).
SERVICES = {
    "web": (Size(1, 1), COLLECTOR),
    "webhooks": (Size(1, 0.5), COLLECTOR),
}
DATABASE = Database(Size(1, 3.75), disk_gib=10, zones=2)
# In one zone: rate limits may be lost.
REDIS_GIB = 1
