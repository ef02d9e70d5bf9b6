"""Which metrics an expression of PromQL asks for. Whether it is one at all, promtool says."""

from __future__ import annotations

import re

_WORDS = frozenset(
    {
        "and",
        "bool",
        "by",
        "group_left",
        "group_right",
        "ignoring",
        "inf",
        "nan",
        "offset",
        "on",
        "or",
        "unless",
        "without",
    }
)
# What has names in it that are no metrics: texts, matchers, durations, and lists of labels.
_ASIDE = (
    re.compile(r'"[^"]*"'),
    re.compile(r"\{[^}]*\}"),
    re.compile(r"\[[^\]]*\]"),
    re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"),
)
_NAME = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)\b(?!\s*\()")
_PARTS = re.compile(r"_(bucket|count|sum)$")


def metrics(expression: str) -> set[str]:
    """Return the names of the series that an expression selects."""
    for aside in _ASIDE:
        expression = aside.sub(" ", expression)
    return {name for name in _NAME.findall(expression) if name not in _WORDS}


def family(series: str, known: set[str]) -> str:
    """Return the metric that a series belongs to: a histogram's buckets, count and sum are its parts."""
    whole = _PARTS.sub("", series)
    return whole if whole in known else series
