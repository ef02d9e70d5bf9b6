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
    from jobs.operations import Operation, Parameter

# Not parameters: the form's own.
_OWN = frozenset({"csrfmiddlewaretoken", "idempotency_key"})


def form_view(
    operation: Operation,
    *,
    account: Account,
    given: Mapping[str, str] | None = None,
    errors: Mapping[str, list[str]] | None = None,
) -> dict[str, Any]:
    """Return what the template of the form needs; `given` and `errors` after a refusal."""
    fields = [_field(parameter, given, (errors or {}).get(parameter.name, [])) for parameter in operation.parameters]
    limits = limits_of(account)
    return {
        "operation": operation,
        "operations": OPERATIONS.values(),
        "fields": fields,
        "advanced_open": any(field["errors"] and field["parameter"].advanced for field in fields),
        "limits": limits,
        "max_megapixels": limits.max_pixels // MEGAPIXEL,
        "readable": uploads.READABLE,
        "price_rule": PRICES.in_words(operation.name),
        "balance": billing.services.balance(account),
        # One key for each form that was shown: a double click or a reload of its answer makes one job.
        "idempotency_key": uuid4().hex,
    }


def values(operation: Operation, given: QueryDict) -> dict[str, Any]:
    """Return the parameters that a browser sent: a checkbox that is not sent is off, not left at its default."""
    sent: dict[str, Any] = {name: value for name, value in given.items() if name not in _OWN}
    unchecked = {parameter.name: False for parameter in operation.parameters if parameter.kind == "boolean"}
    return {**unchecked, **sent}


def _field(parameter: Parameter, given: Mapping[str, str] | None, errors: list[str]) -> dict[str, Any]:
    value = parameter.default if given is None else given.get(parameter.name, "")
    html_id = f"field-{parameter.name}"
    told_by = [f"{html_id}-error"] * bool(errors) + [f"{html_id}-help"] * bool(parameter.help)
    return {
        "parameter": parameter,
        "id": html_id,
        "described_by": " ".join(told_by),
        "value": value,
        "errors": errors,
        # Not through the template's own formatting, which would write 4,294,967,295.
        "minimum": "" if parameter.minimum is None else f"{parameter.minimum:.15g}",
        "maximum": "" if parameter.maximum is None else f"{parameter.maximum:.15g}",
        "choices": [{"value": choice, "selected": str(choice) == str(value)} for choice in parameter.choices],
    }
