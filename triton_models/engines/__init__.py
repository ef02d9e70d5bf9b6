"""
The engines, and which operation has which.

OPERATIONS is the one table: a new operation is a row here and one file for each of its engines.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from triton_models import devices, weights
from triton_models.devices import CPU
from triton_models.errors import EngineUnavailable, LibraryMissing, UnknownEngine
from triton_models.weights import Finding, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from triton_models.batching import Batcher
    from triton_models.devices import Device
    from triton_models.images import Picture
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch

AUTO = "auto"
LIGHT = "light"
_SMALL_MACHINE_CORES = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """
    What an engine made of a picture.

    checks: figures that tell how far to trust it, as JSON values. lossless: the picture is a mask or the like, which
    a JPEG would spoil. chosen: parameters that were left open, with the values the engine took. device: where it was
    made. batch_size: the most requests, this one among them, that a forward pass was shared by. seconds: of the
    engine's own stages, by name.
    """

    picture: Picture
    checks: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    lossless: bool = False
    chosen: dict[str, object] = field(default_factory=dict)
    device: Device = CPU
    batch_size: int = 1
    seconds: dict[str, float] = field(default_factory=dict)


class Engine(Protocol):
    """One way to do an operation. Instances are shared by threads: run() keeps nothing of a request."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """Raised by one whenever the same input gives other pixels."""

    @property
    def weights_sha256(self) -> str:
        """Of the file that `weights` names in the lock; empty for an engine without weights."""

    @property
    def uses(self) -> frozenset[str]:
        """The parameters that make a difference to this engine, the common ones apart."""

    @property
    def seconds_per_megapixel(self) -> float:
        """Roughly, of input, where the light engines run on two cores: progress is shared out by it."""

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        """
        Do the work. Reports progress at least every two seconds and asks as often whether it was cancelled.

        Raises Cancelled, QualityGate when what came out of the network is not fit for use.
        """


@runtime_checkable
class SharesPasses(Protocol):
    """An engine whose requests share forward passes; the pipeline announces each to the batcher before decoding."""

    @property
    def batcher(self) -> Batcher[Any, Any]: ...


@dataclass(frozen=True)
class EngineSpec:
    """
    An engine that an operation may have.

    module: imported when the weights are there, so that a main engine's libraries may be missing otherwise; it has a
    function load(volume, threads=...) -> Engine. weights: the entries of weights.lock that it reads, if any.
    or_weights: those that will do instead. needs_card: without one it takes minutes, so that auto passes it over
    (docs/decisions/0030); by its name it can be asked for all the same. libraries: what it imports that the light
    installation does not have.
    """

    name: str
    module: str
    weights: tuple[str, ...] = ()
    light: bool = False
    only_with_prompt: bool = False
    or_weights: tuple[str, ...] = ()
    needs_card: bool = False
    libraries: tuple[str, ...] = ()

    def missing_library(self) -> str | None:
        """Say in a sentence which library is not installed here; None when all are. Loads none of them."""
        missing = next((name for name in self.libraries if importlib.util.find_spec(name) is None), None)
        return missing and _not_installed(self, missing)

    def finding(self, volume: Path) -> Finding:
        """Return how its weights stand; a wrong file counts wherever it is, those that will do instead included."""
        first = _finding(self.weights, volume)
        if not self.or_weights or first.standing in {Standing.READY, Standing.WRONG}:
            return first
        other = _finding(self.or_weights, volume)
        return other if other.standing in {Standing.READY, Standing.WRONG} else first

    def problem(self, volume: Path) -> str | None:
        """Say in a sentence what keeps its weights from use; None when all of one kind are there and right."""
        return self.finding(volume).sentence or None


def _not_installed(spec: EngineSpec, library: str) -> str:
    return f"The engine {spec.name} needs {library}, which is not installed here; `make models` installs it."


def _finding(entries: Iterable[str], volume: Path) -> Finding:
    lock = weights.read_lock()
    findings = (weights.inspect(lock[entry], volume) for entry in entries)
    return next((each for each in findings if each.standing is not Standing.READY), Finding(Standing.READY))


def _same(width: int, height: int, _parameters: Parameters) -> tuple[int, int]:
    return width, height


@dataclass(frozen=True)
class Operation:
    """
    One operation of the model server.

    engines: the best first; the light one needs no download and must be there.
    accepts: its parameters with their defaults, besides parameters.COMMON.
    output_size: (input width, input height, parameters) -> size of the output; None where only the pixels will tell.
    may_be_flat: a single colour is a possible result.
    """

    name: str
    engines: tuple[EngineSpec, ...]
    accepts: Mapping[str, object]
    output_size: Callable[[int, int, Parameters], tuple[int, int] | None] = _same
    may_be_flat: bool = False

    @property
    def light(self) -> EngineSpec:
        return next(spec for spec in self.engines if spec.light)


def _enlarged(width: int, height: int, parameters: Parameters) -> tuple[int, int]:
    return width * parameters.scale, height * parameters.scale


def _same_unless_cropped(width: int, height: int, parameters: Parameters) -> tuple[int, int] | None:
    return None if parameters.crop else (width, height)


_UPSCALE_LIGHT = EngineSpec(
    "realesr-animevideov3", "triton_models.engines.upscale_light", weights=("realesr-animevideov3",), light=True
)
_DIFFUSERS = ("torch", "diffusers", "transformers", "accelerate")
# First, because it takes no request without a prompt.
_PROMPTED_UPSCALER = EngineSpec(
    "sd-x4-upscaler",
    "triton_models.engines.upscale_sd_x4",
    weights=("sd-x4-upscaler",),
    only_with_prompt=True,
    needs_card=True,
    libraries=_DIFFUSERS,
)
_REAL_ESRGAN = EngineSpec(
    "realesrgan-x4plus",
    "triton_models.engines.real_esrgan",
    weights=("realesrgan-x4plus",),
    or_weights=("realesrgan-x4plus-ncnn",),
    needs_card=True,
    libraries=("torch",),
)
# First, so that whoever has accepted its licence gets it.
_RMBG = EngineSpec("rmbg-1.4", "triton_models.engines.background_rmbg", weights=("rmbg-1.4",))
_ISNET = EngineSpec("isnet", "triton_models.engines.background_isnet", weights=("isnet-general-use",))
_BACKGROUND_LIGHT = EngineSpec("u2netp", "triton_models.engines.background_light", weights=("u2netp",), light=True)
_ENHANCE_LIGHT = EngineSpec(
    "restorer", "triton_models.engines.enhance_light", weights=("realesr-animevideov3",), light=True
)
_COMIC_LIGHT = EngineSpec("xdog", "triton_models.engines.comic_light", light=True)
_AGED_LIGHT = EngineSpec("film", "triton_models.engines.aged_light", light=True)
# Pictures from a picture and words; minutes without a card.
_ENHANCE_SDXL = EngineSpec(
    "sdxl-refiner",
    "triton_models.engines.enhance_sdxl",
    weights=("sdxl-refiner-1.0",),
    needs_card=True,
    libraries=_DIFFUSERS,
)
_COMIC_GHIBLI = EngineSpec(
    "ghibli-diffusion",
    "triton_models.engines.comic_ghibli",
    weights=("ghibli-diffusion",),
    needs_card=True,
    libraries=_DIFFUSERS,
)
_AGED_SD2 = EngineSpec(
    "stable-diffusion-2-1",
    "triton_models.engines.aged_sd2",
    weights=("stable-diffusion-2-1",),
    needs_card=True,
    libraries=_DIFFUSERS,
)
_DIFFUSION: Mapping[str, object] = {"prompt": "", "negative_prompt": "", "steps": None}

OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            name="upscale",
            engines=(_PROMPTED_UPSCALER, _REAL_ESRGAN, _UPSCALE_LIGHT),
            accepts={"scale": 4, "guidance_scale": None, **_DIFFUSION},
            output_size=_enlarged,
        ),
        Operation(
            name="enhance",
            engines=(_ENHANCE_SDXL, _ENHANCE_LIGHT),
            accepts={"strength": 0.3, **_DIFFUSION},
        ),
        Operation(
            name="style_comic",
            engines=(_COMIC_GHIBLI, _COMIC_LIGHT),
            accepts={"strength": 0.6, "line_weight": 0.5, "flatness": 0.5, "guidance_scale": 7.5, **_DIFFUSION},
        ),
        Operation(
            name="style_aged",
            engines=(_AGED_SD2, _AGED_LIGHT),
            accepts={"strength": 0.5, **_DIFFUSION},
        ),
        Operation(
            name="background_remove",
            engines=(_RMBG, _ISNET, _BACKGROUND_LIGHT),
            accepts={"bg_color": None, "crop": False, "channels": "rgba"},
            output_size=_same_unless_cropped,
            may_be_flat=True,
        ),
    )
}


def engine_threads(environment: Mapping[str, str] = os.environ, *, needs_card: bool = False) -> int:
    """
    Return how many threads one engine may use: IMAGEN_ENGINE_THREADS, or as many as there are cores for us.

    An engine that needs a card, and torch, has one on a machine of up to four cores: there several of the five
    processes work at once, and its threads that wait for each other at every layer take more than they give.
    """
    asked = environment.get("IMAGEN_ENGINE_THREADS", "")
    if not asked:
        cores = len(os.sched_getaffinity(0))
        return 1 if needs_card and cores <= _SMALL_MACHINE_CORES else cores
    if not asked.isdecimal() or int(asked) < 1:
        raise EngineUnavailable(f"IMAGEN_ENGINE_THREADS must be a whole number from 1, not {asked!r}.")
    return int(asked)


def load_engines(operation: Operation, volume: Path, *, required: frozenset[str] = frozenset()) -> dict[str, Engine]:
    """
    Load every engine of the operation whose weights are on the volume, in the order in which auto thinks of them.

    The light one fits every request, so that those behind it are taken by their names alone: the engines that need a
    card where there is none. required: names of engines without which to refuse; whoever runs the server wants them
    used, on whatever device. Raises EngineUnavailable, naming what is missing, for those and for the light engine, and
    for a file that is not the locked one whoever's it is: it was damaged, or somebody has put it there.
    """
    loaded: dict[str, Engine] = {}
    by_name_only: dict[str, Engine] = {}
    for spec in operation.engines:
        needed = spec.light or spec.name in required
        engine = _load(spec, volume) if needed else _load_if_there(spec, volume)
        if engine is None:
            continue
        slow = spec.needs_card and not needed and devices.choose().kind == "cpu"
        (by_name_only if slow else loaded)[spec.name] = engine
    return loaded | by_name_only


def _load_if_there(spec: EngineSpec, volume: Path) -> Engine | None:
    finding = spec.finding(volume)
    if finding.standing is Standing.WRONG:
        raise EngineUnavailable(f"The engine {spec.name} cannot be used: {finding.sentence}")
    if finding.standing is not Standing.READY:
        _log.info("The engine %s is left out: %s", spec.name, finding.sentence)
        return None
    try:
        return _load(spec, volume)
    except LibraryMissing as error:
        _log.warning("%s", error.message)
        return None


def _load(spec: EngineSpec, volume: Path) -> Engine:
    try:
        module = importlib.import_module(spec.module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("triton_models"):
            raise
        raise LibraryMissing(_not_installed(spec, error.name or "a library")) from error
    engine: Engine = module.load(volume, threads=engine_threads(needs_card=spec.needs_card))
    return engine


def required_engines(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """
    Return the engines named in IMAGEN_REQUIRE_ENGINES, separated by commas.

    Raises EngineUnavailable for a name that no operation has, since a typing error would let production degrade.
    """
    names = frozenset(name.strip() for name in environment.get("IMAGEN_REQUIRE_ENGINES", "").split(",") if name.strip())
    known = {spec.name for operation in OPERATIONS.values() for spec in operation.engines}
    if unknown := sorted(names - known):
        raise EngineUnavailable(
            f"IMAGEN_REQUIRE_ENGINES names {', '.join(unknown)}; there are {', '.join(sorted(known))}."
        )
    return names


def choose(operation: Operation, loaded: Mapping[str, Engine], parameters: Parameters) -> Engine:
    """
    Return the engine for a request: by name, the light one, or (auto) the first that fits.

    loaded: in the order of load_engines(). Raises UnknownEngine for a name that the operation does not have,
    EngineUnavailable for one that is not loaded.
    """
    if parameters.engine == AUTO:
        specs = {spec.name: spec for spec in operation.engines}
        return next(engine for name, engine in loaded.items() if _fits(specs[name], parameters))
    name = operation.light.name if parameters.engine == LIGHT else parameters.engine
    if name in loaded:
        return loaded[name]
    names = [spec.name for spec in operation.engines]
    if name in names:
        # For the person who asked: whoever runs the server was told at the start what each engine lacks.
        *others, last = AUTO, LIGHT, *(each for each in loaded if each != operation.light.name)
        raise EngineUnavailable(
            f"The engine {name} is not installed on this server. Choose {', '.join(others)} or {last}."
        )
    raise UnknownEngine(f"{operation.name} has no engine {name!r}; choose auto, light or one of {', '.join(names)}.")


def _fits(spec: EngineSpec, parameters: Parameters) -> bool:
    return bool(parameters.prompt) or not spec.only_with_prompt
