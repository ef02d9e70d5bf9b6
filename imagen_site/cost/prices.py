"""prices.toml, read and checked."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

FILE = Path(__file__).with_name("prices.toml")
ANY = "any"


@dataclass(frozen=True)
class Price:
    """`dollars` for one `unit`. verified: somebody read it in the source, on the day `seen`."""

    name: str
    region: str
    dollars: float
    unit: str
    what: str
    source: str
    verified: bool
    seen: date | None = None

    def __post_init__(self) -> None:
        if self.dollars <= 0:
            raise ValueError(f"The price {self.name} is {self.dollars}.")
        if self.verified and self.seen is None:
            raise ValueError(f"The price {self.name} is verified, and has no day on which it was seen.")


@dataclass(frozen=True)
class PriceList:
    """The prices of one region, and the day on which the list was made."""

    date: date
    region: str
    prices: Mapping[str, Price]

    def __getitem__(self, name: str) -> float:
        """Return the dollars."""
        return self.prices[name].dollars


def regions() -> list[str]:
    """Return the regions that there are prices of."""
    return sorted({price.region for price in _read()[1]} - {ANY})


def of_region(region: str) -> PriceList:
    """Return a region's prices; raises ValueError, with a sentence, when there are none."""
    day, prices = _read()
    if region not in regions():
        raise ValueError(f"There are no prices for {region!r}; there are: {', '.join(regions())}.")
    chosen = {price.name: price for price in prices if price.region in {region, ANY}}
    return PriceList(day, region, MappingProxyType(chosen))


def _read() -> tuple[date, list[Price]]:
    text = tomllib.loads(FILE.read_text())
    return text["date"], [Price(**row) for row in text["price"]]
