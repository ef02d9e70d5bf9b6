"""How pages write what people read."""

from typing import Any

from django import template

register = template.Library()


@register.filter
def thousands(value: int) -> str:
    return f"{value:,}"


@register.filter
def seconds(value: float) -> str:
    """Return a length of time in the units that one would say it in: 0.25 s, 12 s, 3 min 20 s, 5 h 2 min."""
    if value < 10:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes} min {rest} s"
    return f"{hours} h {minutes} min"


@register.filter
def told(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """
    Return a value of a program's in words: "seed 7, steps 30, colour shift 0.412, reproducible".

    In a mapping, what is not so or was not asked (None, False, empty) is left out; 0 is a figure like any other.
    """
    if isinstance(value, dict):
        return ", ".join(_pair(name, inner) for name, inner in value.items() if not _is_nothing(inner))
    if isinstance(value, list):
        return " ".join(told(inner) for inner in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pair(name: str, value: object) -> str:
    words = name.replace("_", " ")
    return words if value is True else f"{words} {told(value)}"


def _is_nothing(value: object) -> bool:
    return value is None or value is False or value in ("", [], {})
