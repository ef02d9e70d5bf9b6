"""
The four diffusion models with random weights: speed and memory are the architecture's, whatever the numbers are.

The configurations are those of the models' own folders on the hub. Where weights.lock knows the sizes of their files,
the parameters counted here are those sizes to a few bytes in ten thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import diffusers
import torch
import transformers

from triton_models.engines import upscale_sd_x4
from triton_models.tests import tiny

if TYPE_CHECKING:
    from collections.abc import Mapping

Config = dict[str, Any]

_BETAS: Config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_UP_TO_BETAS: Config = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "scaled_linear"}
_ATTENTION, _PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"

UNETS: Mapping[str, Config] = {
    "ghibli-diffusion": {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "stable-diffusion-2-1": {
        "sample_size": 96,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    "sdxl-refiner-1.0": {
        "sample_size": 128,
        "block_out_channels": (384, 768, 1536, 1536),
        "down_block_types": (_PLAIN, _ATTENTION, _ATTENTION, _PLAIN),
        "cross_attention_dim": 1280,
        "attention_head_dim": (6, 12, 24, 24),
        "transformer_layers_per_block": 4,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2560,
    },
    "sd-x4-upscaler": {
        "sample_size": 128,
        "in_channels": 7,
        "block_out_channels": (256, 512, 512, 1024),
        "down_block_types": (_PLAIN, _ATTENTION, _ATTENTION, _ATTENTION),
        "only_cross_attention": (True, True, True, False),
        "cross_attention_dim": 1024,
        "attention_head_dim": 8,
        "num_class_embeds": 1000,
        "use_linear_projection": True,
    },
}
TEXTS: Mapping[str, Config] = {
    "ghibli-diffusion": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "stable-diffusion-2-1": {"hidden_size": 1024, "num_hidden_layers": 23, "num_attention_heads": 16},
    "sdxl-refiner-1.0": {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 20},
    "sd-x4-upscaler": {"hidden_size": 1024, "num_hidden_layers": 23, "num_attention_heads": 16},
}
# Of the decoder: its widths, and what latents are multiplied by.
VAES: Mapping[str, Config] = {
    "ghibli-diffusion": {"block_out_channels": (128, 256, 512, 512), "scaling_factor": 0.18215},
    "stable-diffusion-2-1": {"block_out_channels": (128, 256, 512, 512), "scaling_factor": 0.18215},
    "sdxl-refiner-1.0": {
        "block_out_channels": (128, 256, 512, 512),
        "scaling_factor": 0.13025,
        "force_upcast": True,
    },
    "sd-x4-upscaler": {"block_out_channels": (128, 256, 512), "scaling_factor": 0.08333},
}


def unet(name: str) -> Any:  # noqa: ANN401 - diffusers has no types
    config = {"down_block_types": (_ATTENTION, _ATTENTION, _ATTENTION, _PLAIN), **UNETS[name]}
    up = {_ATTENTION: "CrossAttnUpBlock2D", _PLAIN: "UpBlock2D"}
    config["up_block_types"] = tuple(up[kind] for kind in reversed(config["down_block_types"]))
    return diffusers.UNet2DConditionModel(**config)


def vae(name: str) -> Any:  # noqa: ANN401 - as above
    levels = len(VAES[name]["block_out_channels"])
    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
    }
    return diffusers.AutoencoderKL(layers_per_block=2, latent_channels=4, sample_size=512, **blocks, **VAES[name])


def text_encoder(name: str) -> Any:  # noqa: ANN401 - as above
    told = TEXTS[name]
    width = told["hidden_size"]
    first = width == TEXTS["ghibli-diffusion"]["hidden_size"]
    config = transformers.CLIPTextConfig(
        vocab_size=49408,
        intermediate_size=4 * width,
        projection_dim=width if name == "sdxl-refiner-1.0" else 512,
        hidden_act="quick_gelu" if first else "gelu",
        bos_token_id=49406,
        eos_token_id=49407,
        **told,
    )
    two_outputs = name == "sdxl-refiner-1.0"
    return (transformers.CLIPTextModelWithProjection if two_outputs else transformers.CLIPTextModel)(config)


def pipeline(name: str, *, device: str, dtype: torch.dtype) -> Any:  # noqa: ANN401 - as above
    """Return a pipeline of the lock entry's architecture, of random weights, on the device."""
    kept = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.manual_seed(3)
    try:
        with torch.device(device):
            parts = {"unet": unet(name), "vae": vae(name), "text": text_encoder(name)}
    finally:
        torch.set_default_dtype(kept)
    for part in parts.values():
        part.eval().requires_grad_(requires_grad=False)
    return _assembled(name, **parts)


def _assembled(name: str, *, unet: Any, vae: Any, text: Any) -> Any:  # noqa: ANN401 - as above
    folder = tiny.volume() / name
    parts: Config = {"unet": unet, "vae": vae}
    if name == "sdxl-refiner-1.0":
        parts |= {"text_encoder": None, "tokenizer": None, "text_encoder_2": text}
        parts["tokenizer_2"] = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer_2")
        parts["scheduler"] = diffusers.EulerDiscreteScheduler(**_BETAS, steps_offset=1, timestep_spacing="leading")
        options = {"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False, "add_watermarker": False}
        return diffusers.StableDiffusionXLImg2ImgPipeline(**parts, **options)
    parts |= {"text_encoder": text, "tokenizer": transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")}
    parts |= {"safety_checker": None, "feature_extractor": None}
    if name == "sd-x4-upscaler":
        scheduler = _ddim(_UP_TO_BETAS)
        low_res = upscale_sd_x4.PlacedNoise(**_UP_TO_BETAS)
        return diffusers.StableDiffusionUpscalePipeline(**parts, scheduler=scheduler, low_res_scheduler=low_res)
    version_1 = name == "ghibli-diffusion"
    pndm = {"skip_prk_steps": True, "steps_offset": 1, "set_alpha_to_one": False}
    scheduler = diffusers.PNDMScheduler(**_BETAS, **pndm) if version_1 else _ddim(_BETAS)
    return diffusers.StableDiffusionImg2ImgPipeline(**parts, scheduler=scheduler, requires_safety_checker=False)


def _ddim(betas: Config) -> Any:  # noqa: ANN401 - as above
    told = {"prediction_type": "v_prediction", "steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False}
    return diffusers.DDIMScheduler(**betas, **told)
