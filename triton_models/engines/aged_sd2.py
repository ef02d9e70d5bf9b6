"""Age a photograph with Stable Diffusion 2.1 (Rombach et al. 2022, arXiv:2112.10752), told of old photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triton_models.diffusion import loading
from triton_models.diffusion.full_size import Finish
from triton_models.diffusion.passes import Passes, image_to_image
from triton_models.diffusion.previews import STABLE_DIFFUSION
from triton_models.diffusion.restyling import Restyler
from triton_models.diffusion.wording import Wording

if TYPE_CHECKING:
    from pathlib import Path

NAME = "stable-diffusion-2-1"
VERSION = "1"
_WORDING = Wording(
    lead="old faded sepia photograph from the 1920s, film grain, scratches, vignette",
    subject="vintage print",
    negative="modern, vivid colors, digital, painting, drawing, text, watermark, frame",
)


def load(volume: Path, *, threads: int) -> Restyler:
    """Load the model. Raises EngineUnavailable, naming the file that is missing or wrong."""
    loaded = loading.load(
        "StableDiffusionImg2ImgPipeline", NAME, volume, threads=threads, components=loading.WITHOUT_SAFETY_CHECKER
    )
    return Restyler(
        Passes(loaded, image_to_image, loading.largest_batch()),
        loaded.weights_sha256,
        NAME,
        VERSION,
        _WORDING,
        # A print from a gray negative still has the tone of its paper.
        Finish(keeps_colors=False, flat_detail=1.0, gives_color=True),
        STABLE_DIFFUSION,
        side=loading.working_side(768),
        steps=30,
        guidance_scale=7.5,
    )
