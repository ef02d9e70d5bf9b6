"""
Enlarge with Real-ESRGAN x4plus (Wang et al. 2021, arXiv:2107.10833): detail that no interpolation has, invented.

The picture stays in memory of the processor; tiles of one shape go to the device, together with equal tiles of other
requests, and come back as bytes. The network was trained to look real and not to be exact: its colours drift over
large areas, which is measured and taken back (quality.match_low_band).
"""

from __future__ import annotations

import copy
import math
import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from triton_models import devices, quality, weights
from triton_models.batching import Batcher
from triton_models.canvas import Canvas
from triton_models.engines import Outcome
from triton_models.enlargement import enlarged, has_no_color, likeness
from triton_models.errors import Cancelled, EngineUnavailable, ImageTooLarge, OutOfMemory, QualityGate
from triton_models.networks import rrdbnet
from triton_models.tiles import equal_tiles
from triton_models.transparency import opaque_pixels

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from triton_models.batching import Unit
    from triton_models.devices import Device, Precision
    from triton_models.images import Picture
    from triton_models.networks.rrdbnet import RRDBNet
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch
    from triton_models.tiles import Tile

    Floats = NDArray[np.float32]
    Levels = NDArray[np.uint8]

NAME = "realesrgan-x4plus"
VERSION = "1"
CHECKPOINT, NCNN = "realesrgan-x4plus", "realesrgan-x4plus-ncnn"
# In pixels of the input. The network sees hundreds of pixels far, ever more faintly: with 10 tiled and whole are 45 dB
# alike, with 32 they are 53.
OVERLAP = 32
# Below this a tile would be nearly all overlap.
SMALLEST_TILE = 96
# Without a card: 400 seconds of the 900 that a job may take.
_MOST_MEGAPIXELS = "2"
_PATIENCE_SECONDS = 0.05


@dataclass(frozen=True)
class Setting:
    """
    How a device is used best.

    tile: the side of the largest tile, its overlap included, in pixels of the input. shapes: into how many lengths the
    sides of tiles are rounded, so that tiles of different pictures are equal; 0 leaves them as they are. batch: the
    most tiles of a pass. seconds: for a megapixel, roughly.
    """

    tile: int
    shapes: int
    batch: int
    seconds: float


# A processor gains nothing by larger passes (measured: 1 to 4 tiles of 64 to 192 pixels), and pays for every pixel that
# is only there to make shapes equal. On a card 384 is large enough to
# leave 70 % for what is not overlap, and leaves room for the other engines.
SETTINGS: Mapping[str, Setting] = {
    "cpu": Setting(tile=480, shapes=0, batch=1, seconds=200.0),
    "cuda": Setting(tile=384, shapes=3, batch=8, seconds=2.0),
}


@dataclass(frozen=True, eq=False)
class Piece:
    """
    What one tile asks of a pass.

    pixels: float32 (height, width, 3), sRGB, 0 to 1. scale: 2 or 4. colorless: its planes are equal and must stay so.
    """

    pixels: Floats
    scale: int
    colorless: bool
    precision: Precision


@dataclass(frozen=True, eq=False)
class Made:
    """levels: uint8 (height * scale, width * scale, 3). finite: whether the network's answer was numbers throughout."""

    levels: Levels
    finite: bool


class Passes:
    """Runs pieces of one shape and precision through the network, in the thread of a batcher."""

    def __init__(self, network: RRDBNet, device: Device) -> None:
        self._device = device
        # In fp32 and on the processor, to make those from that the device is asked for.
        self._original = network
        self._ready: dict[Precision, RRDBNet] = {}

    def __call__(self, units: Sequence[Unit[Piece, Made]]) -> list[Made]:
        """Return what was made of each piece. Raises OutOfMemory; Cancelled when nobody waits for any of them."""
        try:
            with self._device.turn(), torch.inference_mode():
                return self._made(units)
        except RuntimeError as error:
            if not devices.is_out_of_memory(error):
                raise
        height, width = units[0].work.pixels.shape[:2]
        raise OutOfMemory(f"{self._device.label} has no room for {len(units)} tiles of {width} x {height}.")

    def _made(self, units: Sequence[Unit[Piece, Made]]) -> list[Made]:
        def after_block(done: float) -> None:
            if all(unit.is_withdrawn for unit in units):
                raise Cancelled("Nobody waits for these tiles any more.")
            for unit in units:
                unit.tell(done)

        network = self._network(units[0].work.precision)
        pixels = torch.from_numpy(np.stack([unit.work.pixels for unit in units]).transpose(0, 3, 1, 2))
        dtype = _dtype(units[0].work.precision)
        high = network(pixels.to(self._device.torch_name, dtype, memory_format=torch.channels_last), after_block)
        return [_finished(answer, unit.work) for answer, unit in zip(high, units, strict=True)]

    def _network(self, precision: Precision) -> RRDBNet:
        if precision not in self._ready:
            as_it_is = self._device.kind == "cpu" and precision == "fp32"
            placed = self._original if as_it_is else copy.deepcopy(self._original)
            dtype, layout = _dtype(precision), torch.channels_last
            # Torch's stubs know .to() without a layout only.
            self._ready[precision] = placed.to(self._device.torch_name, dtype).to(memory_format=layout)  # type: ignore[call-overload]
        return self._ready[precision]


def _dtype(precision: Precision) -> torch.dtype:
    return torch.float16 if precision == "fp16" else torch.float32


def _finished(answer: Tensor, piece: Piece) -> Made:
    """Turn one answer (3, height, width) into bytes while it is on the device: floats are four times as many."""
    high = answer.float()
    finite = bool(torch.isfinite(high).all())
    high = high.nan_to_num().clamp_(0, 1)
    if piece.colorless:
        high = high.mean(0, keepdim=True).expand(3, -1, -1)
    if piece.scale != rrdbnet.SCALE:
        high = functional.avg_pool2d(high, rrdbnet.SCALE // piece.scale)
    levels = (high * 255).round_().to(torch.uint8).permute(1, 2, 0)
    return Made(levels.cpu().numpy(), finite)


@dataclass
class Room:
    """The side of the largest tile that the device had room for so far, and the one that it began with."""

    first: int
    now: int

    def shrink_to(self, tile: int) -> None:
        self.now = min(self.now, tile)


@dataclass(frozen=True)
class RealEsrgan:
    """x4plus, four times or twice."""

    batcher: Batcher[Piece, Made]
    device: Device
    setting: Setting
    room: Room
    weights_sha256: str
    most_megapixels: float = math.inf
    name: str = NAME
    version: str = VERSION
    uses: frozenset[str] = field(default=frozenset({"scale"}))

    @property
    def seconds_per_megapixel(self) -> float:
        return self.setting.seconds

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        _refuse_hopeless(picture, self.most_megapixels, self.setting.seconds)
        # What memory there was for others must not change the bytes of a request that is to be repeated.
        tile = self.room.first if parameters.reproducible else self.room.now
        attempt = partial(self._attempt, picture, parameters, watch)
        outcome, again = quality.second_try(
            lambda: attempt(self.device.precision, tile),
            lambda: attempt("fp32", max(SMALLEST_TILE, tile // 2)),
        )
        return replace(outcome, checks=outcome.checks | {"second_try": True}) if again else outcome

    def _attempt(
        self, picture: Picture, parameters: Parameters, watch: Watch, precision: Precision, tile: int
    ) -> Outcome:
        """Enlarge in tiles that the device has room for. Raises OutOfMemory when it has none for the smallest."""
        while True:
            try:
                return self._enlarge(picture, parameters, watch, precision, tile)
            except OutOfMemory:
                if tile // 2 < SMALLEST_TILE:
                    raise
                tile //= 2
                self.room.shrink_to(tile)

    def _enlarge(
        self, picture: Picture, parameters: Parameters, watch: Watch, precision: Precision, largest: int
    ) -> Outcome:
        scale = parameters.scale
        canvas, source = Canvas.over(picture, scale), _Source(picture)
        step = largest // self.setting.shapes if self.setting.shapes else 1
        plan = equal_tiles(picture.height, picture.width, largest=largest, overlap=OVERLAP, step=step)
        works = _works(plan, source, parameters, precision)

        def tell(unit: Unit[Piece, Made]) -> None:
            watch.report((unit.number + unit.fraction) / len(plan), canvas.preview)

        shared_by = 1
        for unit in self.batcher.run(works, watch, on_wait=tell):
            tile, made = plan[unit.number], unit.made.result()
            levels = made.levels[tile.inner_of_outer(scale)]
            _require_fit(levels, source.shown(tile), finite=made.finite)
            canvas.fill(*tile.inner(scale), levels)
            shared_by = max(shared_by, unit.shared_by)
            watch.report((unit.number + 1) / len(plan), canvas.preview)
        rgb, moved = _with_colors_of(source, canvas.rgb)
        return Outcome(
            enlarged(picture, rgb),
            checks=likeness(picture, rgb) | moved,
            device=replace(self.device, precision=precision),
            batch_size=shared_by,
        )


class _Source:
    """The picture with the colours of what is seen also where nothing is, as the tiles that were asked for show it."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.colorless = has_no_color(picture)
        self.rgb = picture.rgb if picture.alpha is None else picture.rgb.copy()

    def pixels(self, tile: Tile) -> Floats:
        """Return what the tile looks at, padded by reflection where it looks beyond the end of the picture."""
        found = opaque_pixels(self.picture, tile.outer())
        if self.picture.alpha is not None:
            self.rgb[tile.inner()] = np.rint(found[tile.inner_of_outer()] * 255)
        return _padded(found, tile)

    def shown(self, tile: Tile) -> Levels:
        return self.rgb[tile.inner()]


def _padded(found: Floats, tile: Tile) -> Floats:
    rows, columns = tile.rows, tile.columns
    below = rows.outer_end - rows.outer_start - found.shape[0]
    beside = columns.outer_end - columns.outer_start - found.shape[1]
    return np.pad(found, ((0, below), (0, beside), (0, 0)), mode="reflect") if below or beside else found


def _refuse_hopeless(picture: Picture, most: float, seconds: float) -> None:
    """Raise ImageTooLarge now, and not when the job's time is over."""
    megapixels = picture.width * picture.height / 1e6
    if megapixels > most:
        raise ImageTooLarge(
            f"{NAME} takes about {seconds:.0f} seconds for each megapixel without a graphics card, and here takes "
            f"pictures of at most {most:g} megapixels; this one has {megapixels:.1f}. Choose engine light."
        )


def _works(
    plan: list[Tile], source: _Source, parameters: Parameters, precision: Precision
) -> Iterator[tuple[Hashable, Piece]]:
    for tile in plan:
        pixels = source.pixels(tile)
        # Another batch size is another order of sums, so what is to be repeated runs alone.
        alone = object() if parameters.reproducible else None
        yield (precision, pixels.shape, alone), Piece(pixels, parameters.scale, source.colorless, precision)


def _require_fit(levels: Levels, source: Levels, *, finite: bool) -> None:
    if not finite:
        raise QualityGate("The network's answer has values that are not finite.")
    quality.require_not_flat(levels, source)


def _with_colors_of(source: _Source, rgb: Levels) -> tuple[Levels, dict[str, object]]:
    """Return the pixels without the drift of colours, and how large it was before and is now, in levels of 255."""
    before = quality.color_shift(rgb, source.rgb)
    matched = quality.match_low_band(rgb, source.rgb)
    after = quality.color_shift(matched, source.rgb)
    raw = {f"raw_{name}": value for name, value in before.described().items()}
    return matched, raw | after.described()


def load(volume: Path, *, threads: int) -> RealEsrgan:
    """
    Load the network: the authors' file where it is on the model volume, else ncnn's.

    Raises EngineUnavailable, naming the file that is missing or wrong.
    """
    device = devices.choose()
    torch.set_num_threads(threads)
    network, digest = _network(volume)
    return assemble(network, device, weights_sha256=digest)


def assemble(
    network: RRDBNet, device: Device, *, weights_sha256: str, environment: Mapping[str, str] = os.environ
) -> RealEsrgan:
    """Return the engine for a network (fp32, on the processor) and a device."""
    setting = SETTINGS[device.kind]
    largest = _batch(environment, setting.batch)
    most = math.inf if device.kind == "cuda" else _most_megapixels(environment)
    batcher = Batcher(Passes(network, device), largest=largest, name=NAME, patience=_PATIENCE_SECONDS)
    return RealEsrgan(batcher, device, setting, Room(setting.tile, setting.tile), weights_sha256, most)


def _network(volume: Path) -> tuple[RRDBNet, str]:
    lock, there = weights.read_lock(), {weights.Standing.READY, weights.Standing.WRONG}
    entries = (CHECKPOINT, NCNN)
    # A wrong file is no missing one: it is refused by name.
    found = next((entry for entry in entries if weights.inspect(lock[entry], volume).standing in there), CHECKPOINT)
    if found == NCNN:
        folder, locked = weights.verified_folder(NCNN, volume)
        stem = folder / "realesrgan-x4plus"
        return rrdbnet.from_ncnn(stem.with_suffix(".param"), stem.with_suffix(".bin")), locked.weights_sha256
    folder, locked = weights.verified_folder(CHECKPOINT, volume)
    return rrdbnet.from_checkpoint(folder / locked.weights), locked.weights_sha256


def _batch(environment: Mapping[str, str], usual: int) -> int:
    asked = environment.get("IMAGEN_UPSCALE_BATCH") or str(usual)
    if not asked.isdecimal() or not 1 <= int(asked) <= 64:
        raise EngineUnavailable(f"IMAGEN_UPSCALE_BATCH must be a whole number from 1 to 64, not {asked!r}.")
    return int(asked)


def _most_megapixels(environment: Mapping[str, str]) -> float:
    asked = environment.get("IMAGEN_UPSCALE_CPU_MEGAPIXELS") or _MOST_MEGAPIXELS
    try:
        most = float(asked)
    except ValueError:
        most = math.nan
    if not most > 0:
        raise EngineUnavailable(f"IMAGEN_UPSCALE_CPU_MEGAPIXELS must be a number above 0, not {asked!r}.")
    return most
