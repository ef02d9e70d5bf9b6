"""
What a piece of work costs, in credits. Pure: one table, no I/O, no idea of a job.

Every price is a base and one credit per started step of pixels, so that it can be told from the file's header, before
any work: of the input where the work is on what was sent, of the output where the work is on what comes back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from billing.errors import UnknownOperation

# As cameras count: a million pixels, not 2 ** 20.
MEGAPIXEL = 1_000_000


class Counted(Enum):
    INPUT = auto()
    OUTPUT = auto()


@dataclass(frozen=True)
class Price:
    """`base` credits, and one for each started `step_megapixels` of the counted image."""

    base: int
    counted: Counted
    step_megapixels: int

    def in_words(self) -> str:
        """Return the price as a sentence for people."""
        what = "the photo" if self.counted is Counted.INPUT else "the result"
        base = f"{self.base} credit{'' if self.base == 1 else 's'}, and " if self.base else ""
        return f"Costs {base}1 credit for every {self.step_megapixels} megapixels of {what} or part of them."

    def credits(self, *, input_pixels: int, output_pixels: int) -> int:
        pixels = input_pixels if self.counted is Counted.INPUT else output_pixels
        if pixels < 1:
            raise ValueError(f"An image has at least one pixel, not {pixels}.")
        # Integers all the way: a float's ceiling charges a credit too many at the edge of a step.
        return self.base + -(-pixels // (self.step_megapixels * MEGAPIXEL))


@dataclass(frozen=True)
class PriceTable:
    """One row per operation."""

    rows: Mapping[str, Price]

    def in_words(self, operation: str) -> str:
        """Return an operation's price as a sentence; raises UnknownOperation."""
        return self.row(operation).in_words()

    def row(self, operation: str) -> Price:
        """Return an operation's price; raises UnknownOperation."""
        row = self.rows.get(operation)
        if row is None:
            raise UnknownOperation(operation)
        return row

    def price(self, operation: str, *, input_pixels: int, output_pixels: int) -> int:
        """
        Return the credits, at least 1, for one image; pixels are width times height.

        Raises UnknownOperation when the table has no such row, ValueError on an image without pixels.
        """
        return self.row(operation).credits(input_pixels=input_pixels, output_pixels=output_pixels)


PRICES = PriceTable(
    MappingProxyType(
        {
            "upscale": Price(base=1, counted=Counted.OUTPUT, step_megapixels=4),
            "enhance": Price(base=1, counted=Counted.INPUT, step_megapixels=4),
            "style_comic": Price(base=1, counted=Counted.INPUT, step_megapixels=4),
            "style_aged": Price(base=1, counted=Counted.INPUT, step_megapixels=4),
            "background_remove": Price(base=0, counted=Counted.INPUT, step_megapixels=4),
        }
    )
)
