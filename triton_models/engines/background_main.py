"""
Cut out the subject with a network of the size of the task: ISNet (Qin et al. 2022, arXiv:2203.03041) at 1024 x 1024.

RMBG-1.4 is the same architecture with other weights. Requests share passes on a card; on a processor, where a second
picture in a pass takes as long as the first and as much memory, they go one by one. `cutout.py` does the rest.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from triton_models import cutout, devices, images, mask_networks, quality, weights
from triton_models.batching import Batcher
from triton_models.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from triton_models.batching import Unit
    from triton_models.engines import Outcome
    from triton_models.images import Picture
    from triton_models.mask_networks import MaskNetwork
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch

    Floats = NDArray[np.float32]

_SIDE = 1024
# As in the model card of RMBG-1.4 and in ISNet's own inference: mean 0.5, deviation 1.
_MEAN = 0.5
# Pictures in a pass: as many as Triton hands over at once.
_LARGEST = {"cpu": 1, "cuda": 4}
# How long a first picture waits for those that are still being decoded; a pass on a card takes about as long.
_PATIENCE_SECONDS = 0.1
_PREPARED = 0.03
# By which progress is shared out, on two cores or a card; per picture for the pass, per megapixel for the rest.
_PASS_SECONDS = {"cpu": 2.5, "cuda": 0.2}
_EDGES_SECONDS = 0.3
# No part of a picture is more likely subject than not below this, and then there is none to bring out.
_LIKELY = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cutter:
    """ISNet or its like, with edge refinement."""

    name: str
    weights_sha256: str
    network: MaskNetwork
    batcher: Batcher[Floats, Floats] = field(repr=False)
    version: str = "1"
    uses: frozenset[str] = cutout.USES

    @property
    def seconds_per_megapixel(self) -> float:
        # A pass takes the same for every picture; this is right for one of four megapixels.
        return _EDGES_SECONDS + self._pass_seconds / 4

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        watch.report(0.0)
        seen = images.flatten(picture, images.WHITE).rgb
        began = time.monotonic()
        unit, tried_again = self._ask(seen, parameters, watch.part(_PREPARED, self._passed(picture)))
        passed = time.monotonic()
        cutting = watch.part(self._passed(picture), 1.0)
        outcome = cutout.cut_out(picture, seen, brought_out(unit.made.result()), parameters, cutting)
        return replace(
            outcome,
            checks=outcome.checks | ({"second_try": True} if tried_again else {}),
            device=self.network.device,
            batch_size=unit.shared_by,
            seconds={"pass": round(passed - began, 3), "edges": round(time.monotonic() - passed, 3)},
        )

    def _ask(self, seen: NDArray[np.uint8], parameters: Parameters, watch: Watch) -> tuple[Unit[Floats, Floats], bool]:
        """Return the unit that holds the network's answer, 0 to 1, and whether it took a second try."""
        ready, clocked = prepared(seen, self.network.side), watch.by_the_clock(self._pass_seconds)
        shape: Hashable = ready.shape

        def asked(key: Hashable) -> Unit[Floats, Floats]:
            unit = self.batcher.run_one(key, ready, clocked)
            quality.require_finite(unit.made.result())
            return unit

        # It has neither tiles nor another precision; what a second try can do without is company.
        return quality.second_try(
            lambda: asked(object() if parameters.reproducible else shape), lambda: asked(object())
        )

    def _passed(self, picture: Picture) -> float:
        """Return how much of the whole work the pass and all before it are."""
        edges = _EDGES_SECONDS * picture.width * picture.height / 1e6
        return _PREPARED + (1 - _PREPARED) * self._pass_seconds / (self._pass_seconds + edges)

    @property
    def _pass_seconds(self) -> float:
        return _PASS_SECONDS[self.network.device.kind]


def load_cutter(name: str, entry: str, volume: Path, *, threads: int, largest: int | None = None) -> Cutter:
    """
    Load a network from the model volume by its entry in the lock.

    largest: pictures in a pass at most; by device otherwise. Raises EngineUnavailable, naming the file that is missing
    or wrong.
    """
    folder, locked = weights.verified_folder(entry, volume)
    network = mask_networks.open_network(folder / locked.weights, side=_SIDE, threads=threads, device=devices.choose())
    largest = largest or _LARGEST[network.device.kind]
    if largest > 1 and not mask_networks.may_share(network):
        _log.warning("%s takes one picture at a time: it does not treat several in a pass as it treats each", name)
        largest = 1
    patience = _PATIENCE_SECONDS if largest > 1 else 0.0
    return Cutter(
        name, locked.weights_sha256, network, Batcher(passes(network), largest=largest, name=name, patience=patience)
    )


def prepared(seen: NDArray[np.uint8], side: int) -> Floats:
    """Return what the network takes, float32 (3, side, side) about zero, of uint8 (height, width, 3)."""
    small = cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.ascontiguousarray((small / np.float32(255) - np.float32(_MEAN)).transpose(2, 0, 1))


def brought_out(mask: Floats) -> Floats:
    """
    Return the mask with its likeliest part wholly opaque, if there is a part that is more likely subject than not.

    The lowest value says nothing: stretched between lowest and highest, as is often done, a picture without a subject
    becomes a mask of its noise, and a subject that fills its picture gets holes.
    """
    highest = float(mask.max())
    return np.asarray((mask / highest if highest > _LIKELY else mask).clip(0.0, 1.0), np.float32)


def passes(network: MaskNetwork) -> Callable[[Sequence[Unit[Floats, Floats]]], Sequence[Floats]]:
    """Return what runs units together, for a batcher; a pass that nobody waits for any more ends at once."""

    def run(units: Sequence[Unit[Floats, Floats]]) -> Sequence[Floats]:
        options = network.run_options()

        def stop_if_unwanted(_: object) -> None:
            if all(unit.is_withdrawn for unit in units):
                options.terminate = True

        for unit in units:
            unit.made.add_done_callback(stop_if_unwanted)
        try:
            return network.masks([unit.work for unit in units], options)
        except mask_networks.ERRORS as error:
            if options.terminate:
                raise Cancelled("The request was cancelled.") from error
            raise

    return run
