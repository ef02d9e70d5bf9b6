"""The estimate that this model replaces, claim by claim: what of it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imagen_site.cost import model, work
from imagen_site.cost.model import HOURS, SECONDS

if TYPE_CHECKING:
    from imagen_site.cost.model import Plan

CONFIRMED, CORRECTED, REFUTED, OPEN = "confirmed", "corrected", "refuted", "not measured"
# The old design: a card for each operation, whatever there is to do. Ours: one card, and three when there is much.
OLD_CARDS, MOST_CARDS = 5, 3
OLD_MONTH = 435.0
OURS_LOW, OURS_HIGH = 168.0, 314.0
SAVED_LOW, SAVED_HIGH = 0.61, 0.77
# docs/benchmarks.md, "gRPC against HTTP": the time of HTTP, of gRPC's, at 3 and 25 MB.
HTTP_OF_GRPC = {"3 MB": 0.91, "25 MB": 0.47}
# docs/benchmarks.md: photos a second in shared passes, of those alone, for x4plus and ISNet on a processor.
BATCHING_ON_A_PROCESSOR = (0.88, 1.0)


@dataclass(frozen=True)
class Claim:
    claim: str
    verdict: str
    why: str


def claims(plan: Plan) -> list[Claim]:
    """Return every claim of the reference, judged by the prices of this plan's region, on Spot T4s as it had them."""
    t4 = replace(plan, card="t4", spot=True)
    return [_old(t4), _ours(t4), _saved_low(t4), _saved_high(t4), _batching(), _grpc(), _seconds(t4)]


def card_month(plan: Plan, cards: int) -> float:
    """Return dollars a month for so many machines with a card, and the thin workers beside them."""
    busy = replace(plan, images=int(cards * HOURS * SECONDS * plan.utilisation / plan.mean_seconds))
    workers = model.worker_hours(busy if cards > 1 else plan) * model.worker_hour(plan.prices)
    return cards * HOURS * plan.machine_hour + workers


def _old(plan: Plan) -> Claim:
    each = OLD_MONTH / OLD_CARDS
    card = HOURS * plan.prices["t4_spot"]
    return Claim(
        f"five GPU workers: about ${OLD_MONTH:.0f} a month",
        CORRECTED,
        f"That is ${each:.0f} each, less than a Spot T4 card alone (${card:.0f}), and a card needs a machine: "
        f"${HOURS * plan.machine_hour:.0f} with one of 30 GB, ${OLD_CARDS * HOURS * plan.machine_hour:,.0f} for five.",
    )


def _ours(plan: Plan) -> Claim:
    small = HOURS * (plan.prices["t4_spot"] + plan.prices["t4_machine_spot"] / 2)
    return Claim(
        f"Triton with thin workers: ${OURS_LOW:.0f} to ${OURS_HIGH:.0f} a month",
        CORRECTED,
        f"The lower figure is one Spot T4 on an n1-standard-4 (${small:.0f}) and nothing else; its 15 GB are too few "
        f"for Triton's 24. With a machine that fits, and workers: ${card_month(plan, 1):.0f} for one card, "
        f"${card_month(plan, MOST_CARDS):.0f} for three that are busy all month. The site comes on top.",
    )


def _saved_low(plan: Plan) -> Claim:
    saved = 1 - card_month(plan, 1) / (OLD_CARDS * HOURS * plan.machine_hour)
    return Claim(
        f"saves {SAVED_LOW:.0%} at low traffic",
        CORRECTED,
        f"1 - {OURS_LOW:.0f}/{OLD_MONTH:.0f} is {1 - OURS_LOW / OLD_MONTH:.0%}. Both at today's prices: {saved:.0%}, "
        "since the old design pays for five machines that idle.",
    )


def _saved_high(plan: Plan) -> Claim:
    saved = 1 - card_month(plan, MOST_CARDS) / (OLD_CARDS * HOURS * plan.machine_hour)
    implied = OURS_HIGH / (1 - SAVED_HIGH)
    return Claim(
        f"saves {SAVED_HIGH:.0%} at high traffic",
        REFUTED,
        f"${OURS_HIGH:.0f} would have to replace ${implied:,.0f}, {implied / (OLD_MONTH / OLD_CARDS):.0f} of its GPU "
        "workers. The saving falls as traffic grows, because the same images need the same seconds of a card: "
        f"{saved:.0%} with three cards busy, none where five are.",
    )


def _batching() -> Claim:
    low, high = BATCHING_ON_A_PROCESSOR
    return Claim(
        "batching is worth 2 to 4 times",
        OPEN,
        f"On a processor shared passes give {low:.2f} and {high:.2f} times the photos, and are not made there. No card "
        "was at hand; the figures here count none of it.",
    )


def _grpc() -> Claim:
    return Claim(
        "gRPC is about 30 % faster than HTTP for large payloads",
        REFUTED,
        "The other way round: with binary tensors HTTP takes "
        + " and ".join(f"{ratio:.2f} of gRPC's time at {size}" for size, ratio in HTTP_OF_GRPC.items())
        + ". Only HTTP with numbers in JSON is slower. gRPC is here for progress and cancelling.",
    )


def _seconds(plan: Plan) -> Claim:
    on_card = [each.seconds for each in plan.work.values()]
    on_core = [each.seconds for each in work.of_each_operation(work.NO_CARD).values()]
    return Claim(
        "10 to 32 s for a job in all",
        OPEN,
        f"By arithmetic a T4 works {min(on_card):.1f} to {max(on_card):.0f} s on one, and the platform adds 0.05 s; "
        "starts of nodes and waiting are docs/scaling.md's. Measured without a card, light engines: "
        f"{min(on_core):.0f} to {max(on_core):.0f} s of one core.",
    )
