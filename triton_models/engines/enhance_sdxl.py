"""
Enhance with the SDXL refiner (Podell et al. 2023, arXiv:2307.01952), the model that SDXL gives its last steps to.

It was trained to clear the last fifth of the noise off a picture, which is what a tired photograph needs. Colours are
the photograph's own: what the model shifts over large areas is taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from triton_models.diffusion import loading
from triton_models.diffusion.full_size import Finish
from triton_models.diffusion.passes import Passes, image_to_image
from triton_models.diffusion.previews import SDXL
from triton_models.diffusion.restyling import Restyler
from triton_models.diffusion.wording import Wording

if TYPE_CHECKING:
    from pathlib import Path

NAME = "sdxl-refiner"
ENTRY = "sdxl-refiner-1.0"
VERSION = "1"
_WORDING = Wording(
    lead="",
    subject="a sharp, detailed, natural photograph",
    negative="blurry, noisy, jpeg artifacts, painting, plastic",
)


def load(volume: Path, *, threads: int) -> Restyler:
    """Load the model. Raises EngineUnavailable, naming the file or the variable that is missing or wrong."""
    offload = loading.offload_asked()
    kind, components = "StableDiffusionXLImg2ImgPipeline", {"add_watermarker": False}
    loaded = loading.load(kind, ENTRY, volume, threads=threads, offload=offload, components=components)
    # Whoever needs its weights out of the way has no room for the passes of several pictures either.
    largest = loading.largest_batch() if offload == "none" else 1
    return Restyler(
        Passes(loaded, image_to_image, largest),
        loaded.weights_sha256,
        NAME,
        VERSION,
        _WORDING,
        Finish(keeps_colors=True, flat_detail=1.0),
        SDXL,
        side=loading.working_side(1024),
        steps=30,
        # The default of diffusers' pipeline; the model card names none.
        guidance_scale=5.0,
    )
