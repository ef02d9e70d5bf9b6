"""A pipeline of diffusers from the model volume onto the device, with the network unplugged."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import diffusers
import torch
import transformers

from triton_models import devices, weights
from triton_models.diffusion.sizes import UNIT
from triton_models.diffusion.wording import Reader
from triton_models.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from triton_models.devices import Device, Precision
    from triton_models.weights.lock import LockedWeights

Pipeline = Any  # diffusers has no types
# Stable Diffusion's own is a model of another gigabyte that blacks pictures out; what may be sent is the site's matter.
WITHOUT_SAFETY_CHECKER: Mapping[str, object] = {
    "safety_checker": None,
    "feature_extractor": None,
    "requires_safety_checker": False,
}
_OFFLOADS = ("none", "model", "sequential")
_DTYPES: Mapping[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16}
# With less memory than this the decoder of a picture of a megapixel goes by tiles: 4 GB less at their seams' price.
_ROOMY_BYTES = 24 * 2**30
_DECODED_SIDE = 512
_COMPILED_SHAPES = 256
# What from_pretrained() would read beside, or instead of, the files of the lock.
_READ = frozenset({".safetensors", ".json", ".bin", ".pt", ".pth", ".ckpt", ".py"})

# They log the part of a prompt that is too long, and a prompt is in no log of ours.
diffusers.utils.logging.set_verbosity_error()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
diffusers.utils.logging.disable_progress_bar()


@dataclass(frozen=True)
class Loaded:
    """
    A pipeline on its device. Not to be called from two threads at once: its scheduler counts steps.

    offload: none, or what waits in main memory while it is not needed: model (whole networks), sequential (layers).
    reader: counts the tokens of a prompt, for any thread. is_compiled: each shape of it the first time it comes.
    """

    pipeline: Pipeline
    device: Device
    weights_sha256: str
    offload: str = "none"
    is_compiled: bool = False
    reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        tokenizer = getattr(self.pipeline, "tokenizer", None) or getattr(self.pipeline, "tokenizer_2", None)
        object.__setattr__(self, "reader", Reader(tokenizer))

    def settle_in(self) -> None:
        """Make the thread ready that calls the pipeline: torch has its settings for each thread apart."""
        if self.is_compiled:
            # Each size and batch is compiled for itself; torch would stop after eight and say so in a log alone.
            torch._dynamo.config.recompile_limit = _COMPILED_SHAPES  # noqa: SLF001 - its documented name

    @contextlib.contextmanager
    def precisely(self) -> Iterator[None]:
        """
        Compute in fp32 meanwhile: twice the memory, and a way out where fp16 overflows.

        The weights come from 16 bits and go back to the very same. What waits in main memory stays as it is: there
        would be no room for it, neither there nor on the card.
        """
        if self.device.precision == "fp32" or self.offload != "none":
            yield
            return
        try:
            _convert(self.pipeline, torch.float32)
            yield
        finally:
            _convert(self.pipeline, torch.float16)


def load(
    kind: str,
    entry: str,
    volume: Path,
    *,
    threads: int,
    offload: str = "none",
    components: Mapping[str, object] = MappingProxyType({}),
) -> Loaded:
    """
    Load a pipeline of diffusers from the folder of a lock entry, every file checked against its sha256.

    kind: the name of the pipeline's class. components: those to leave out, as from_pretrained() takes them. Reads
    safetensors and nothing else, and never asks the model hub. Raises EngineUnavailable, naming the file or folder that
    is wrong.
    """
    folder, locked = weights.verified_folder(entry, volume)
    _refuse_strangers(folder, locked)
    device = devices.choose()
    torch.set_num_threads(threads)
    try:
        pipeline = getattr(diffusers, kind).from_pretrained(
            folder,
            dtype=_DTYPES[device.precision],
            variant="fp16" if any(file.path.endswith(".fp16.safetensors") for file in locked.files) else None,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=True,
            **components,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise EngineUnavailable(f"The engine {entry} cannot be loaded from {folder}: {error}") from error
    pipeline.set_progress_bar_config(disable=True)
    is_compiled = place(pipeline, device, offload)
    return Loaded(pipeline, device, locked.weights_sha256, offload, is_compiled)


def _refuse_strangers(folder: Path, locked: LockedWeights) -> None:
    # diffusers takes what it finds: an index, or a file of another name, before the one that was checked.
    listed = {folder / file.path for file in locked.files}
    found = (path for path in sorted(folder.rglob("*")) if path.suffix in _READ and not path.name.startswith("."))
    if stranger := next((path for path in found if path not in listed), None):
        raise EngineUnavailable(f"{stranger} is not among the files that {locked.lock.name} names: delete it.")


def place(
    pipeline: Pipeline, device: Device, offload: str = "none", environment: Mapping[str, str] = os.environ
) -> bool:
    """Put a pipeline on its device, arranged for speed and, on a small card, for memory; return whether it compiles."""
    # One picture of a batch at a time: decoding is what needs the most memory, and gains nothing by batches.
    pipeline.vae.enable_slicing()
    if device.kind == "cpu":
        return False
    # Convolutions in fp16 run on tensor cores in this order without being turned around first.
    for network in (pipeline.unet, pipeline.vae):
        network.to(memory_format=torch.channels_last)
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device.torch_name)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device.torch_name)
    else:
        pipeline.to(device.torch_name)
    if torch.cuda.get_device_properties(device.torch_name).total_memory < _ROOMY_BYTES:
        pipeline.vae.enable_tiling()
        # Its own are as large as what the network was trained on, a megapixel with SDXL, and so no tiles at all.
        pipeline.vae.tile_sample_min_size = _DECODED_SIDE
        pipeline.vae.tile_latent_min_size = _DECODED_SIDE // pipeline.vae_scale_factor
    if device.precision == "fp16" and hasattr(pipeline, "upcast_vae"):
        # SDXL's decoder overflows in fp16, so the pipeline decodes in fp32; its own method for that is deprecated.
        pipeline.upcast_vae = partial(pipeline.vae.to, dtype=torch.float32)
    # What is offloaded is hooked anew for each run, and would be compiled as often.
    is_compiled = environment.get("IMAGEN_COMPILE") == "1" and offload == "none"
    if is_compiled:
        pipeline.unet.compile(dynamic=False)
    return is_compiled


def offload_asked(environment: Mapping[str, str] = os.environ) -> str:
    """Return IMAGEN_ENHANCE_OFFLOAD: none, model or sequential. Raises EngineUnavailable for anything else."""
    asked = environment.get("IMAGEN_ENHANCE_OFFLOAD") or "none"
    if asked not in _OFFLOADS:
        raise EngineUnavailable(f"IMAGEN_ENHANCE_OFFLOAD must be one of {', '.join(_OFFLOADS)}, not {asked!r}.")
    return asked


def largest_batch(environment: Mapping[str, str] = os.environ) -> int:
    """Return IMAGEN_DIFFUSION_BATCH: how many pictures may share a pass, 4 otherwise. Raises EngineUnavailable."""
    asked = environment.get("IMAGEN_DIFFUSION_BATCH") or "4"
    if not asked.isdecimal() or int(asked) < 1:
        raise EngineUnavailable(f"IMAGEN_DIFFUSION_BATCH must be a whole number from 1, not {asked!r}.")
    return int(asked)


def working_side(native: int, environment: Mapping[str, str] = os.environ) -> int:
    """
    Return the side of the square that a model works at: the one it was trained on, or IMAGEN_DIFFUSION_SIDE.

    A smaller one needs less of a card and draws worse. Raises EngineUnavailable for what is no multiple of 64.
    """
    asked = environment.get("IMAGEN_DIFFUSION_SIDE") or str(native)
    if not asked.isdecimal() or int(asked) < UNIT or int(asked) % UNIT:
        raise EngineUnavailable(f"IMAGEN_DIFFUSION_SIDE must be a multiple of {UNIT}, not {asked!r}.")
    return int(asked)


def _convert(pipeline: Pipeline, dtype: torch.dtype) -> None:
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.to(dtype)
