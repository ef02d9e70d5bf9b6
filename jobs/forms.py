"""The form of an operation, drawn from its definition; and what comes back from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import billing.services
from billing.prices import PRICES
from jobs import uploads
from jobs.limits import limits_of
from jobs.operations import MEGAPIXEL, OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import QueryDict

    from accounts.models import Account
    from jobs.models import Job
    from jobs.operations import Operation, Parameter

# Not parameters: the form's own.
_OWN = frozenset({"csrfmiddlewaretoken", "idempotency_key", "operation"})


def form_view(
    operation: Operation,
    *,
    account: Account,
    given: Mapping[str, Any] | None = None,
    errors: Mapping[str, list[str]] | None = None,
    source: Job | None = None,
) -> dict[str, Any]:
    """Return what the template of the form needs; `given` and `errors` after a refusal, `source` to run again."""
    if given is None and source is not None and source.operation == operation.name:
        given = source.params
    fields = [_field(operation, parameter, given, errors or {}) for parameter in operation.parameters]
    limits = limits_of(account)
    return {
        "operation": operation,
        "operations": OPERATIONS.values(),
        "source": source,
        "fields": fields,
        "advanced_open": any(field["errors"] and field["parameter"].advanced for field in fields),
        "limits": limits,
        "max_megapixels": limits.max_pixels // MEGAPIXEL,
        "readable": uploads.READABLE,
        "price": _price(operation),
        "balance": billing.services.balance(account),
        # One key for each form that was shown: a double click or a reload of its answer makes one job.
        "idempotency_key": uuid4().hex,
    }


def values(operation: Operation, given: QueryDict) -> dict[str, Any]:
    """Return the parameters that a browser sent: a checkbox that is not sent is off, not left at its default."""
    sent: dict[str, Any] = {name: value for name, value in given.items() if name not in _OWN}
    unchecked = {parameter.name: False for parameter in operation.parameters if parameter.kind == "boolean"}
    return {**unchecked, **sent}


def _price(operation: Operation) -> dict[str, Any]:
    """Return the price in words, and in the figures that a script needs to reckon it for the photos at hand."""
    row = PRICES.row(operation.name)
    return {
        "rule": row.in_words(),
        "base": row.base,
        "counted": row.counted.name.lower(),
        "step_pixels": row.step_megapixels * MEGAPIXEL,
    }


def _field(
    operation: Operation, parameter: Parameter, given: Mapping[str, Any] | None, errors: Mapping[str, list[str]]
) -> dict[str, Any]:
    value = parameter.default if given is None else given.get(parameter.name, "")
    html_id, problems = f"field-{parameter.name}", errors.get(parameter.name, [])
    told_by = [f"{html_id}-error"] * bool(problems) + [f"{html_id}-help"] * bool(parameter.help)
    return {
        "parameter": parameter,
        "widget": _widget(parameter),
        "id": html_id,
        "described_by": " ".join(told_by),
        "value": value,
        "errors": problems,
        # Not through the template's own formatting, which would write 4,294,967,295.
        "minimum": _figure(parameter.minimum),
        "maximum": _figure(parameter.maximum),
        "figure": _figure(value) if isinstance(value, int | float) else value,
        "step": _step(parameter),
        "choices": [
            {
                "id": f"{html_id}-{choice}",
                "value": choice,
                "label": _label(choice),
                "selected": str(choice) == str(value),
                "grows": _grows(operation, parameter, choice),
            }
            for choice in parameter.choices
        ],
    }


def _widget(parameter: Parameter) -> str:
    """Return which control fits: a slider only where it can stand for every value, "not asked" included."""
    bounded = parameter.minimum is not None and parameter.maximum is not None
    if parameter.kind in {"integer", "number"}:
        return "slider" if bounded and parameter.default is not None else "number"
    return parameter.kind


def _step(parameter: Parameter) -> str:
    if parameter.kind == "integer":
        return "1"
    span = (parameter.maximum or 0) - (parameter.minimum or 0)
    return "0.01" if span <= 1 else "0.1"


def _grows(operation: Operation, parameter: Parameter, choice: object) -> float:
    """Return how many pixels of the result there are for each of the photo, if this is chosen."""
    params = {each.name: each.default for each in operation.parameters} | {parameter.name: choice}
    width, height = operation.output_size(1_000, 1_000, params)
    return width * height / MEGAPIXEL


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.15g}"


def _label(choice: object) -> str:
    """Return what people call it; a figure among the choices is a factor, and a name is its own."""
    return _LABELS.get(choice, f"{choice}×" if isinstance(choice, int) else str(choice))


_LABELS: Mapping[object, str] = {
    "auto": "Auto",
    "light": "Light",
    "png": "PNG",
    "jpeg": "JPEG",
    "webp": "WebP",
    "rgba": "Cut-out",
    "alpha": "Mask",
    "strip": "None",
    "copyright": "Copyright",
    "keep": "All",
}
