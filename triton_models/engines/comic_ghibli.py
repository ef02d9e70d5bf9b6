"""
Draw a photograph as a still of an animated film, with Ghibli-Diffusion: Stable Diffusion 1.5, fine-tuned by nitrosocke.

Its style answers to the words "ghibli style" (its model card).
"""

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

NAME = "ghibli-diffusion"
VERSION = "1"
_WORDING = Wording(
    lead="ghibli style", subject="beautiful detailed scene", negative="photograph, blurry, deformed, text, watermark"
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
        # Paint is flat: the photograph's grain has no place on it.
        Finish(keeps_colors=False, flat_detail=0.0),
        STABLE_DIFFUSION,
        side=loading.working_side(512),
        steps=30,
        guidance_scale=7.5,
        uses=frozenset({"strength", "prompt", "negative_prompt", "steps", "guidance_scale"}),
    )
