"""How pages write what people read."""

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
