"""Kubernetes' quantities as numbers."""

from __future__ import annotations

_UNITS = {"m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


def amount(quantity: str | int) -> float:
    """Return "250m" as 0.25 and "2Gi" as its bytes. Raises KeyError for a unit that is none."""
    text = str(quantity)
    number = text.rstrip("KMGTikm")
    return float(number) * _UNITS[text.removeprefix(number)]
