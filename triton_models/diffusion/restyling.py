"""
One engine for all that make a picture from a picture and words: img2img (Meng et al. 2022, "SDEdit", arXiv:2108.01073).

The photograph, at the size the model works at, is drowned in noise as far as `strength` says, and the model finds a
picture in it.
"""

from __future__ import annotations

import math
import secrets
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from triton_models import quality
from triton_models.diffusion.full_size import to_full_size, to_working_size
from triton_models.diffusion.passes import Terms, Wish
from triton_models.diffusion.sizes import is_squeezed, smaller_side, working_size
from triton_models.engines import Outcome
from triton_models.errors import InvalidParameter, OutOfMemory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from triton_models.batching import Batcher
    from triton_models.diffusion.full_size import Finish
    from triton_models.diffusion.passes import Passes
    from triton_models.diffusion.previews import LatentColors
    from triton_models.diffusion.wording import Wording
    from triton_models.images import Picture
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch

    Floats = NDArray[np.float32]

# Without a wish for steps, a faint strength takes more of them rather than none; with this many it has at least one.
_MOST_STEPS = 150
# Of the time: the rest is the way back to the photograph's size.
_DENOISED = 0.9
_SEEDS = 2**32


@dataclass(frozen=True)
class Run:
    """What a denoising run was given and what it made, float32 (height, width, 3), and who shared it."""

    before: Floats
    after: Floats
    shared_by: int


@dataclass(frozen=True)
class Settings:
    """What a request left open, decided: seed, steps, guidance_scale and strength of its run, and its two prompts."""

    seed: int
    steps: int
    guidance_scale: float
    strength: float
    prompt: str
    negative_prompt: str

    def checked(self) -> Settings:
        """Raise InvalidParameter when the run would have no step: it begins at the share `strength` of them."""
        if int(self.steps * self.strength) < 1:
            least = math.ceil(100 / self.steps) / 100
            fewest = _fewest_steps(self.strength)
            hint = f"at least {fewest} steps, or " if fewest <= _MOST_STEPS else ""
            raise InvalidParameter(
                f"strength {self.strength:g} with {self.steps} steps leaves no step to do; "
                f"ask for {hint}a strength of at least {least:g}."
            )
        return self

    def chosen(self) -> dict[str, object]:
        return {"seed": self.seed, "steps": self.steps, "guidance_scale": self.guidance_scale}


@dataclass(frozen=True, eq=False)
class Restyler:
    """
    A diffusion model as an engine.

    side: of the square it was trained on, in pixels. steps, guidance_scale: where nothing else is asked for. colors:
    of its latents. seconds_per_megapixel: a guess that shares out the progress, since a run takes as long for any size.
    """

    passes: Passes
    weights_sha256: str
    name: str
    version: str
    wording: Wording
    finish: Finish
    colors: LatentColors
    side: int
    steps: int
    guidance_scale: float
    uses: frozenset[str] = frozenset({"strength", "prompt", "negative_prompt", "steps"})
    seconds_per_megapixel: float = 3.0

    @property
    def batcher(self) -> Batcher[Wish, Floats]:
        return self.passes.batcher

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        """Do one request; see engines.Engine. Raises InvalidParameter when strength and steps leave nothing to do."""
        settings = self._settings(picture, parameters)
        if picture.alpha is not None and not picture.alpha.any():
            return Outcome(picture, warnings=["Nothing of the picture is to be seen: it was left as it is."])
        watch.report(0.0)
        began = time.monotonic()
        run, again = self._denoised(picture, settings, watch.part(0.0, _DENOISED), alone=parameters.reproducible)
        denoised = time.monotonic()
        result, checks = self._finished(picture, run, settings, watch.part(_DENOISED, 1.0))
        return Outcome(
            result,
            checks=checks | ({"second_try": True} if again else {}),
            warnings=self._warnings(picture, settings),
            chosen=settings.chosen(),
            device=self.passes.loaded.device,
            batch_size=run.shared_by,
            seconds={"denoise": round(denoised - began, 3), "finish": round(time.monotonic() - denoised, 3)},
        )

    def _settings(self, picture: Picture, parameters: Parameters) -> Settings:
        strength = 1.0 if parameters.strength is None else parameters.strength
        asked = parameters.guidance_scale if "guidance_scale" in self.uses else None
        return Settings(
            seed=seed_of(picture, parameters),
            steps=parameters.steps or min(_MOST_STEPS, max(self.steps, _fewest_steps(strength))),
            guidance_scale=self.guidance_scale if asked is None else asked,
            strength=strength,
            prompt=self.wording.prompt(parameters),
            negative_prompt=self.wording.negative_prompt(parameters),
        ).checked()

    def _warnings(self, picture: Picture, settings: Settings) -> list[str]:
        prompts = {"prompt": settings.prompt, "negative_prompt": settings.negative_prompt}
        warnings = self.passes.loaded.reader.unread_warnings(prompts)
        if is_squeezed(picture.width, picture.height):
            warnings.append("The picture is longer than the model can work on: it was squeezed for it, and back.")
        return warnings

    def _denoised(self, picture: Picture, settings: Settings, watch: Watch, *, alone: bool) -> tuple[Run, bool]:
        def run(side: int, *, careful: bool) -> Run:
            return self._run_at(picture, settings, watch, side=side, careful=careful, alone=alone)

        def first() -> Run:
            try:
                return run(self.side, careful=False)
            except OutOfMemory:
                if smaller_side(self.side) == self.side:
                    raise
            return run(smaller_side(self.side), careful=False)

        return quality.second_try(first, lambda: run(smaller_side(self.side), careful=True))

    def _run_at(
        self, picture: Picture, settings: Settings, watch: Watch, *, side: int, careful: bool, alone: bool
    ) -> Run:
        width, height = working_size(picture.width, picture.height, side)
        before = to_working_size(picture, (width, height))
        terms = Terms(
            width,
            height,
            settings.steps,
            settings.guidance_scale,
            settings.strength,
            careful,
            object() if alone else None,
        )
        wish = Wish(
            before,
            settings.prompt,
            settings.negative_prompt,
            settings.seed,
            show=lambda latents: self.colors.preview(latents, picture),
        )
        unit = self.batcher.run_one(terms, wish, watch)
        after = unit.made.result()
        quality.require_finite(after)
        quality.require_not_flat(after, before)
        return Run(before, after, unit.shared_by)

    def _finished(
        self, picture: Picture, run: Run, settings: Settings, watch: Watch
    ) -> tuple[Picture, dict[str, object]]:
        after, shift = run.after, quality.color_shift(run.after, run.before)
        checks = shift.described()
        if self.finish.keeps_colors:
            after = quality.match_low_band(after, run.before)
            left = quality.color_shift(after, run.before)
            checks = {"color_shift_before": round(shift.mean, 2), **left.described()}
        canvas = to_full_size(picture, run.before, after, strength=settings.strength, finish=self.finish, watch=watch)
        return self.finish.marked(canvas.finished()), checks


def _fewest_steps(strength: float) -> int:
    """Return with how many steps there is one to do; diffusers rounds down, and 49 times a forty-ninth is below 1."""
    steps = math.ceil(1 / max(strength, 1e-6))
    return steps if int(steps * strength) >= 1 else steps + 1


def seed_of(picture: Picture, parameters: Parameters) -> int:
    """
    Return the seed that was asked for, or one by chance.

    A request that must be reproducible gets it from its picture, so that it is so without a seed as well.
    """
    if parameters.seed is not None:
        return parameters.seed
    if parameters.reproducible:
        return zlib.crc32(np.ascontiguousarray(picture.rgb[::16, ::16]).tobytes())
    return secrets.randbelow(_SEEDS)
