"""
Noise for a picture that is made in pieces: one field over all of it, of which each piece takes its part.

Two tiles that overlap then begin with the same noise where they do, and end with nearly the same picture there; with
noise of their own each would invent other hair. Drawn block by block, so that a piece can be had without the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 64


@dataclass(frozen=True)
class NoiseField:
    """Normal noise without an end, the same for the same seed on every machine; cells may be anywhere from 0 on."""

    seed: int
    channels: int

    def part(self, top: int, left: int, height: int, width: int) -> NDArray[np.float32]:
        """Return float32 (channels, height, width) of the field from that row and column on."""
        rows = range(top // _BLOCK, -(-(top + height) // _BLOCK))
        columns = range(left // _BLOCK, -(-(left + width) // _BLOCK))
        blocks = [np.concatenate([self._block(row, column) for column in columns], axis=2) for row in rows]
        down, along = top - rows.start * _BLOCK, left - columns.start * _BLOCK
        whole = np.concatenate(blocks, axis=1)
        return np.ascontiguousarray(whole[:, down : down + height, along : along + width])

    def _block(self, row: int, column: int) -> NDArray[np.float32]:
        chance = np.random.default_rng((self.seed, row, column))
        return chance.standard_normal((self.channels, _BLOCK, _BLOCK), dtype=np.float32)
