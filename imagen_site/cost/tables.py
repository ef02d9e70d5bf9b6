"""The model's answers as tables for people, and as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from imagen_site.cost import model, reference, site
from imagen_site.cost.work import CARDS, NO_CARD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from imagen_site.cost.model import Plan

_CARD_NAMES = {"t4": "T4", "l4": "L4", NO_CARD: "no card"}


def assumed(plan: Plan) -> str:
    kinds = {NO_CARD: "measured, docs/benchmarks.md"}
    rows = [
        (each.operation, each.photo, each.engine, f"{each.seconds:.3g}", f"{each.megabytes:g}")
        for each in plan.work.values()
    ]
    seconds = "seconds of a core" if plan.card == NO_CARD else f"seconds of {_CARD_NAMES[plan.card]}"
    head = ("operation", "photo", "engine", f"{seconds}, {kinds.get(plan.card, 'assumed')}", "MB out, assumed")
    return _table("What an image takes", [head, *rows])


def per_thousand(plan: Plan) -> str:
    """Return dollars for 1,000 images, by operation, on each card, Spot and on demand."""
    plans = {
        f"{_CARD_NAMES[card]}{', Spot' if spot else ''}": replace(plan, card=card, spot=spot)
        for card in (*CARDS, NO_CARD)
        for spot in (True, False)
    }
    rows = [(name, *(f"{model.per_thousand(each, name):.2f}" for each in plans.values())) for name in plan.mix]
    rows.append(("the mix", *(f"{model.per_thousand_mixed(each):.2f}" for each in plans.values())))
    title = f"Dollars for 1,000 images, a machine at work for {plan.utilisation:.0%} of its time"
    return _table(title, [("operation", *plans), *rows])


def month(plan: Plan) -> str:
    lines = model.month(plan)
    rows = [(name, f"{dollars:,.2f}") for name, dollars in lines.items()]
    total = sum(lines.values())
    rows += [("**in all**", f"**{total:,.2f}**"), ("for each 1,000 images", f"{1000 * total / plan.images:,.2f}")]
    machine = f"{_CARD_NAMES[plan.card]}, {'Spot' if plan.spot else 'on demand'}, {plan.prices.region}"
    return _table(
        f"A month of {site.ENVIRONMENT} with {plan.images:,} images on {machine}", [("for", "dollars"), *rows]
    )


def break_even(plan: Plan) -> str:
    """Return, for each card, where a machine of one's own is as dear as seconds of a hosted T4."""
    rows = []
    for card in CARDS:
        for spot in (True, False):
            use, images = model.hosted_break_even(replace(plan, card=card, spot=spot))
            kind = f"{_CARD_NAMES[card]}, {'Spot' if spot else 'on demand'}"
            rows.append((kind, f"{use:.0%}" if use < 1 else "never", f"{images:,.0f}" if use < 1 else "never"))
    rate = plan.prices.prices["hosted_t4"]
    title = f"Break-even against a hosted T4 at ${rate.dollars:.6f} a second of work ({rate.source})"
    return _table(title, [("a machine all month", "cheaper from a use of", "which are images a month"), *rows])


def claims(plan: Plan) -> str:
    rows = [(each.claim, f"**{each.verdict}**", each.why) for each in reference.claims(plan)]
    return _table("The estimate that this replaces", [("claim", "verdict", "why"), *rows])


def prices(plan: Plan) -> str:
    rows = [
        (
            price.what,
            f"{price.dollars:.10f}".rstrip("0").rstrip("."),
            price.unit,
            price.source,
            f"yes, {price.seen}" if price.verified else "**no**",
        )
        for price in plan.prices.prices.values()
    ]
    head = ("what", "dollars", "for one", "source", "read there")
    return _table(f"Prices of {plan.prices.region}, list of {plan.prices.date}", [head, *rows])


# What `manage.py cost --only` knows.
TABLES: Mapping[str, Callable[[Plan], str]] = {
    "work": assumed,
    "per-thousand": per_thousand,
    "month": month,
    "break-even": break_even,
    "claims": claims,
    "prices": prices,
}


def printed(plan: Plan, only: Sequence[str] = ()) -> str:
    """Return the tables of these names, all of them when none is named."""
    return "\n\n".join(make(plan) for name, make in TABLES.items() if not only or name in only)


def as_json(plan: Plan) -> dict[str, Any]:
    """Return the same for a program; dollars are not rounded."""
    use, images = model.hosted_break_even(plan)
    return {
        "prices_of": plan.prices.date.isoformat(),
        "region": plan.prices.region,
        "environment": site.ENVIRONMENT,
        "card": plan.card,
        "spot": plan.spot,
        "utilisation": plan.utilisation,
        "images_per_month": plan.images,
        "mix": dict(plan.mix),
        "per_thousand": {name: model.per_thousand(plan, name) for name in plan.mix}
        | {"mix": model.per_thousand_mixed(plan)},
        "month": model.month(plan),
        "month_in_all": sum(model.month(plan).values()),
        "break_even": {"utilisation": use, "images_per_month": images},
        "claims": [asdict(claim) for claim in reference.claims(plan)],
        "unverified_prices": [price.name for price in plan.prices.prices.values() if not price.verified],
    }


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = rows
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body)])
