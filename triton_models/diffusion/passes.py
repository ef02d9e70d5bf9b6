"""
Denoising runs that requests share: one call of a diffusers pipeline for all of them, each with its own prompt and seed.

The card is given up between two steps, so that a cut-out of 20 ms does not wait for a restyling of ten seconds.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import torch

from triton_models import devices
from triton_models.batching import Batcher
from triton_models.errors import Cancelled, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    from triton_models.batching import Unit
    from triton_models.devices import Device
    from triton_models.diffusion.loading import Loaded

    Floats = NDArray[np.float32]
    Show = Callable[[Floats], bytes]
    # Receives the number of the step that is done, how many there are, and the latents of all pictures.
    AfterStep = Callable[[int, int, torch.Tensor], None]

# A run takes seconds: a fraction of one is well spent waiting for a request that is being decoded.
_PATIENCE_SECONDS = 0.5


@dataclass(frozen=True)
class Terms:
    """
    What runs that share a call have in common; diffusers would silently resize pictures of another size.

    width, height: of the picture at its working size. strength: None where the pipeline has none. careful: in fp32.
    alone: something unique, for a request that must not depend on its neighbours.
    """

    width: int
    height: int
    steps: int
    guidance_scale: float
    strength: float | None = None
    careful: bool = False
    alone: object = None


@dataclass(frozen=True, eq=False)
class Wish:
    """
    What one run of a shared call has for itself.

    pixels: float32 (height, width, 3), sRGB, 0 to 1. seed: of its noise. noise: (channels, height, width), where the
    noise is not drawn from the seed but cut from a larger field. show: makes a small JPEG of latents.
    """

    pixels: Floats
    prompt: str
    negative_prompt: str
    seed: int
    noise: Floats | None = None
    show: Show | None = None

    def generator(self) -> torch.Generator:
        # On the processor, whatever the device: the same seed is the same noise everywhere.
        return torch.Generator("cpu").manual_seed(self.seed)


class Call(Protocol):
    """A call of a pipeline for wishes with the same terms; returns pixels (wishes, 3, height, width), 0 to 1."""

    def __call__(
        self,
        pipeline: Any,  # noqa: ANN401 - diffusers has no types
        wishes: Sequence[Wish],
        terms: Terms,
        after_step: AfterStep,
        /,
    ) -> torch.Tensor: ...


@dataclass(frozen=True, eq=False)
class Passes:
    """The runs of one engine, one call after the other; `call` says how its pipeline is called."""

    loaded: Loaded
    call: Call
    largest: int
    batcher: Batcher[Wish, Floats] = field(init=False)

    def __post_init__(self) -> None:
        batcher = Batcher(self._run_together, largest=self.largest, name="denoising", patience=_PATIENCE_SECONDS)
        object.__setattr__(self, "batcher", batcher)

    def _run_together(self, units: Sequence[Unit[Wish, Floats]]) -> list[Floats]:
        """Return what became of each wish: float32 (height, width, 3), sRGB, 0 to 1, or not finite."""
        terms: Terms = units[0].key  # type: ignore[assignment]
        self.loaded.settle_in()
        precisely = self.loaded.precisely() if terms.careful else nullcontext()
        try:
            with _Turns(self.loaded.device) as turns, precisely, self._giving_back():
                steps = _Steps(units, turns)
                pixels = self.call(self.loaded.pipeline, [unit.work for unit in units], terms, steps.after)
                return [np.ascontiguousarray(each) for each in pixels.float().cpu().permute(0, 2, 3, 1).numpy()]
        except RuntimeError as error:
            if not devices.is_out_of_memory(error):
                raise
        raise OutOfMemory(f"The card has no room for a picture of {terms.width} x {terms.height}.")

    @contextmanager
    def _giving_back(self) -> Iterator[None]:
        try:
            yield
        finally:
            # It does this itself, except where a run was broken off: the networks would stay on the card.
            self.loaded.pipeline.maybe_free_model_hooks()


@dataclass(frozen=True)
class _Steps:
    units: Sequence[Unit[Wish, Floats]]
    turns: _Turns

    def after(self, step: int, total: int, latents: torch.Tensor) -> None:
        """Say how far the run is, let others have the card, and raise Cancelled when nobody waits any more."""
        if all(unit.is_withdrawn for unit in self.units):
            raise Cancelled("Nobody waits for this run any more.")
        shown = latents.detach().float().cpu().numpy() if any(unit.work.show for unit in self.units) else latents
        for unit, each in zip(self.units, shown, strict=True):
            unit.tell((step + 1) / total, partial(unit.work.show, each) if unit.work.show else None)
        self.turns.give_way()


class _Turns:
    """The device's turn, held during a call and given up for a moment between its steps."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self._held.enter_context(self._device.turn())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)

    def give_way(self) -> None:
        if self._device.kind == "cpu":
            return
        torch.cuda.synchronize()
        self._held.close()
        self._held.enter_context(self._device.turn())


def image_to_image(
    pipeline: Any,  # noqa: ANN401 - diffusers has no types
    wishes: Sequence[Wish],
    terms: Terms,
    after_step: AfterStep,
) -> torch.Tensor:
    """Call an img2img pipeline; see Call."""

    def on_step_end(running: Any, step: int, _timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:  # noqa: ANN401
        after_step(step, running.num_timesteps, tensors["latents"])
        return {}

    pixels: torch.Tensor = pipeline(
        prompt=[wish.prompt for wish in wishes],
        negative_prompt=[wish.negative_prompt for wish in wishes],
        image=torch.from_numpy(np.stack([wish.pixels.transpose(2, 0, 1) for wish in wishes])),
        generator=[wish.generator() for wish in wishes],
        strength=terms.strength,
        num_inference_steps=terms.steps,
        guidance_scale=terms.guidance_scale,
        output_type="pt",
        callback_on_step_end=on_step_end,
    ).images
    return pixels
