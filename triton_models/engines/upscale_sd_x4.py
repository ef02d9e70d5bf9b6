"""
Enlarge with the Stable Diffusion x4 upscaler (Rombach et al. 2022, arXiv:2112.10752), told what is to be seen.

It makes up detail, as its prompt says, so auto takes it only for a request with a prompt. The colours of every tile are
put right afterwards: averaged down and smoothed, it is the input again, so that tiles do not differ in tone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from diffusers import DDPMScheduler

from triton_models import quality
from triton_models.canvas import Canvas
from triton_models.diffusion import loading
from triton_models.diffusion.noise import NoiseField
from triton_models.diffusion.passes import Passes, Terms, Wish
from triton_models.diffusion.quilt import Patch, Quilt, patches
from triton_models.diffusion.restyling import seed_of
from triton_models.diffusion.wording import Wording
from triton_models.engines import Outcome
from triton_models.enlargement import enlarged, has_no_color, likeness
from triton_models.errors import OutOfMemory
from triton_models.transparency import opaque_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from triton_models.batching import Batcher, Unit
    from triton_models.diffusion.passes import AfterStep
    from triton_models.images import Picture
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch

    Floats = NDArray[np.float32]

NAME = "sd-x4-upscaler"
VERSION = "1"
_FACTOR = 4
# Of the picture's pixels: what the model was trained on is 128 of them, and it is 512 pixels of the result.
_TILE, _OVERLAP = 128, 32
# Whose network halves a tile three times.
_SMALLEST_TILE = 8
_STEPS, _GUIDANCE = 30, 9.0
# How much noise the model is told to see in its input, of 350: the pipeline's default.
_NOISE_LEVEL = 20
_COLORS, _LATENTS = 3, 4
# Detail finer than this many of the picture's pixels is the model's, what is coarser the photograph's.
_SMOOTH = 2.0
# It may make up texture, which the other engines may not; its tones are its input's in any case.
_LOWEST_PSNR_DB = 10.0
_WORDING = Wording(lead="", subject="a sharp, detailed photograph", negative="blurry, jpeg artifacts, noise")


class PlacedNoise(DDPMScheduler):
    """Adds to a tile the noise of its place, where the pipeline would draw other noise for each tile."""

    placed: torch.Tensor | None = None

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        if self.placed is not None:
            noise = self.placed.to(noise.device, noise.dtype)
        noisy: torch.Tensor = super().add_noise(original_samples, noise, timesteps)  # type: ignore[misc]
        return noisy


@dataclass(frozen=True)
class Request:
    """One picture to enlarge, with everything decided."""

    picture: Picture
    terms: Terms
    prompt: str
    negative_prompt: str
    noise: NoiseField
    patches: Sequence[Patch]
    overlap: int
    alone: bool

    def works(self) -> Iterator[tuple[Terms, Wish]]:
        """Yield what the batcher is given for each tile."""
        for patch in self.patches:
            size = self.terms.width
            wish = Wish(
                cut(self.picture, patch, size),
                self.prompt,
                self.negative_prompt,
                self.noise.seed,
                self.noise.part(patch.top, patch.left, size, size),
            )
            # A request that must not depend on its neighbours must not depend on how its own tiles fell either.
            yield replace(self.terms, alone=object() if self.alone else None), wish


@dataclass(frozen=True, eq=False)
class PromptedUpscaler:
    """The x4 upscaler over equal tiles; twice is four times, halved."""

    passes: Passes
    weights_sha256: str
    tile: int = _TILE
    overlap: int = _OVERLAP
    name: str = NAME
    version: str = VERSION
    uses: frozenset[str] = frozenset({"scale", "prompt", "negative_prompt", "steps", "guidance_scale"})
    seconds_per_megapixel: float = 300.0

    @property
    def batcher(self) -> Batcher[Wish, Floats]:
        return self.passes.batcher

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        """Do one request; see engines.Engine. Begins once more, with tiles half as long, when there is no room."""
        try:
            return self._run(picture, parameters, watch, shrink=1)
        except OutOfMemory:
            if self.tile <= _SMALLEST_TILE:
                raise
        return self._run(picture, parameters, watch, shrink=2)

    def _run(self, picture: Picture, parameters: Parameters, watch: Watch, *, shrink: int) -> Outcome:
        began = time.monotonic()
        request = self._request(picture, parameters, shrink)
        canvas = Canvas.over(picture, parameters.scale)
        shared_by, again = self._enlarge(request, canvas, parameters.scale, watch)
        checks = likeness(picture, canvas.rgb, lowest_db=_LOWEST_PSNR_DB)
        prompts = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
        return Outcome(
            enlarged(picture, canvas.rgb),
            checks=checks | ({"second_try": True} if again else {}),
            warnings=self.passes.loaded.reader.unread_warnings(prompts),
            chosen={
                "seed": request.noise.seed,
                "steps": request.terms.steps,
                "guidance_scale": request.terms.guidance_scale,
            },
            device=self.passes.loaded.device,
            batch_size=shared_by,
            seconds={"denoise": round(time.monotonic() - began, 3)},
        )

    def _request(self, picture: Picture, parameters: Parameters, shrink: int) -> Request:
        tile, overlap = self.tile // shrink, self.overlap // shrink
        guidance = _GUIDANCE if parameters.guidance_scale is None else parameters.guidance_scale
        return Request(
            picture,
            Terms(tile, tile, parameters.steps or _STEPS, guidance),
            _WORDING.prompt(parameters),
            _WORDING.negative_prompt(parameters),
            NoiseField(seed_of(picture, parameters), _LATENTS + _COLORS),
            list(patches(picture.height, picture.width, size=tile, overlap=overlap)),
            overlap,
            parameters.reproducible,
        )

    def _enlarge(self, request: Request, canvas: Canvas, scale: int, watch: Watch) -> tuple[int, bool]:
        """Fill the canvas; return the most requests that shared a pass, and whether a tile was made twice."""
        quilt, shared_by, again, count = Quilt(canvas, scale, request.overlap), 1, False, len(request.patches)
        colorless = has_no_color(request.picture)

        def waiting(unit: Unit[Wish, Floats]) -> None:
            watch.report((unit.number + unit.fraction) / count, canvas.preview)

        watch.report(0.0, canvas.preview)
        for patch, unit in zip(request.patches, self.batcher.run(request.works(), watch, on_wait=waiting), strict=True):
            high, twice = quality.second_try(partial(_checked, unit), partial(self._again, unit, watch))
            quilt.sew(patch, _finished(unit.work.pixels, high, scale, colorless=colorless))
            shared_by, again = max(shared_by, unit.shared_by), again or twice
            watch.report((unit.number + 1) / count, canvas.preview)
        quilt.finish()
        return shared_by, again

    def _again(self, unit: Unit[Wish, Floats], watch: Watch) -> Floats:
        """Make a tile once more, in fp32."""
        return _checked(self.batcher.run_one(replace(unit.key, careful=True), unit.work, watch))  # type: ignore[type-var]


def load(volume: Path, *, threads: int) -> PromptedUpscaler:
    """Load the model. Raises EngineUnavailable, naming the file that is missing or wrong."""
    components = {"safety_checker": None, "feature_extractor": None, "watermarker": None}
    loaded = loading.load("StableDiffusionUpscalePipeline", NAME, volume, threads=threads, components=components)
    scheduler = loaded.pipeline.low_res_scheduler
    loaded.pipeline.low_res_scheduler = PlacedNoise.from_config(scheduler.config)  # type: ignore[no-untyped-call]
    tile = min(_TILE, loading.working_side(_TILE))
    passes = Passes(loaded, enlarge_tiles, loading.largest_batch())
    return PromptedUpscaler(passes, loaded.weights_sha256, tile, tile * _OVERLAP // _TILE)


def enlarge_tiles(pipeline: Any, wishes: Sequence[Wish], terms: Terms, after_step: AfterStep) -> torch.Tensor:  # noqa: ANN401
    """Call the pipeline for tiles; see passes.Call."""
    noise = torch.from_numpy(np.stack([wish.noise for wish in wishes if wish.noise is not None]))
    pipeline.low_res_scheduler.placed = noise[:, _LATENTS:]
    pixels: torch.Tensor = pipeline(
        prompt=[wish.prompt for wish in wishes],
        negative_prompt=[wish.negative_prompt for wish in wishes],
        image=torch.from_numpy(np.stack([wish.pixels.transpose(2, 0, 1) for wish in wishes])),
        generator=[wish.generator() for wish in wishes],
        latents=noise[:, :_LATENTS].to(pipeline.unet.dtype),
        num_inference_steps=terms.steps,
        guidance_scale=terms.guidance_scale,
        noise_level=_NOISE_LEVEL,
        output_type="pt",
        callback=lambda step, _timestep, latents: after_step(step, terms.steps, latents),
    ).images
    return pixels


def cut(picture: Picture, patch: Patch, size: int) -> Floats:
    """Return the tile of a picture: float32 (size, size, 3), mirrored at the edges of a picture that is smaller."""
    low = opaque_pixels(picture, (slice(patch.top, patch.top + size), slice(patch.left, patch.left + size)))
    down, along = size - low.shape[0], size - low.shape[1]
    return np.asarray(cv2.copyMakeBorder(low, 0, down, 0, along, cv2.BORDER_REFLECT_101), np.float32)


def _checked(unit: Unit[Wish, Floats]) -> Floats:
    high = unit.made.result()
    quality.require_finite(high)
    quality.require_not_flat(high, unit.work.pixels)
    return high


def _finished(low: Floats, high: Floats, scale: int, *, colorless: bool) -> Floats:
    """Return an enlarged tile with the colours of what it was made from, at the scale that was asked for."""
    missing = low - _resized(high, low.shape[0], cv2.INTER_AREA)
    missing = np.asarray(cv2.GaussianBlur(missing, (0, 0), _SMOOTH, borderType=cv2.BORDER_REFLECT), np.float32)
    high = np.asarray((high + _resized(missing, high.shape[0], cv2.INTER_CUBIC)).clip(0, 1), np.float32)
    if scale < _FACTOR:
        high = _resized(high, low.shape[0] * scale, cv2.INTER_AREA)
    return np.repeat(high.mean(axis=2, keepdims=True), 3, axis=2) if colorless else high


def _resized(pixels: Floats, side: int, how: int) -> Floats:
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=how), np.float32)
