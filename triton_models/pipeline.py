"""One request from bytes to bytes: what both Triton's model.py and the shell call."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from triton_models import images, quality, weights
from triton_models.engines import (
    OPERATIONS,
    Engine,
    Operation,
    Outcome,
    SharesPasses,
    choose,
    load_engines,
    required_engines,
)
from triton_models.errors import ImageTooLarge, InvalidParameter
from triton_models.parameters import Parameters, resolve
from triton_models.progress import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from triton_models.images import Encoded, Header, Picture

# What may go out: the web tier promises no more, and the arrays of more would not fit beside each other.
OUTPUT_PIXELS = 64_000_000
# Seconds a megapixel on one core, to share the progress out by: a page that waits at 95 % for the encoder tells a lie.
_DECODE_SECONDS = 0.03
_ENCODE_SECONDS = {"png": 0.12, "jpeg": 0.03, "webp": 0.3}


@dataclass(frozen=True)
class Request:
    """
    What the caller sends; None and "" mean "not asked".

    image: an encoded file. options: engine, format, quality, metadata, bg_color, crop, channels, reproducible.
    """

    image: bytes
    prompt: str = ""
    negative_prompt: str = ""
    strength: float | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    seed: int | None = None
    scale: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    def asked(self) -> dict[str, object]:
        """Return what was asked for, by name; a field of its own goes before an option of the same name."""
        own = ("prompt", "negative_prompt", "strength", "guidance_scale", "steps", "seed", "scale")
        named = {name: getattr(self, name) for name in own}
        return _asked_for(self.options) | _asked_for(named)


@dataclass(frozen=True)
class Result:
    """
    The encoded file, its format (png, jpeg, webp), its size in pixels, and a small JPEG of it.

    info, as JSON values: engine {name, version, weights_sha256}, input and output {format, width, height}, width,
    height, format, seconds {decode, infer, encode, and the engine's own}, checks, warnings, parameters, device {kind,
    name, precision}, batch_size (the most requests that shared a forward pass with it, itself included).
    """

    image: bytes
    format: str
    width: int
    height: int
    info: dict[str, object]
    preview: bytes = b""


@dataclass(frozen=True)
class Pipeline:
    """The engines of one operation, loaded. Safe to use from several threads at once."""

    operation: Operation
    engines: Mapping[str, Engine]
    limits: images.Limits = images.DEFAULT_LIMITS
    output_pixels: int = OUTPUT_PIXELS

    @classmethod
    def load(cls, operation: str, volume: Path) -> Pipeline:
        """
        Load the engines of an operation from the model volume.

        Raises EngineUnavailable, naming the file, when the weights of the light engine or of one named in
        IMAGEN_REQUIRE_ENGINES are missing or wrong, and for a name in IMAGEN_ACCEPT_LICENCES that is no entry of the
        lock; InvalidParameter for an operation that there is not.
        """
        if operation not in OPERATIONS:
            raise InvalidParameter(f"There is no operation {operation!r}; there are {', '.join(OPERATIONS)}.")
        row = OPERATIONS[operation]
        weights.refuse_unknown(weights.read_lock())
        return cls(row, load_engines(row, volume, required=required_engines()))

    def run(
        self,
        request: Request,
        *,
        on_progress: Callable[[float, bytes | None], None],
        is_cancelled: Callable[[], bool],
    ) -> Result:
        """
        Do one request.

        on_progress: a fraction from 0 to 1 that never falls, and a small JPEG or None. is_cancelled: asked before
        decoding and at least once for every tile. Raises a ModelError: the caller's fault, a missing engine, a result
        below the quality gate, or Cancelled.
        """
        watch, seconds = Watch(on_progress, is_cancelled), _Stopwatch()
        watch.check()
        parameters, unknown = resolve(request.asked(), self.operation.accepts)
        engine = choose(self.operation, self.engines, parameters)
        header = self._inspected(request.image, parameters)
        shares = self._shares(header, engine, parameters)
        with _announced(engine):
            with seconds.of("decode"):
                decoding = watch.part(0.0, shares.decoded)
                picture = decoding.during(lambda: self._decode(request.image), expected_seconds=shares.decoding)
            watch.report(shares.decoded, lambda: images.preview(picture))
            with seconds.of("infer"):
                inferring = watch.part(shares.decoded, shares.inferred)
                outcome = self._infer(engine, picture, parameters, inferring)
        preview = images.preview(outcome.picture)
        watch.report(shares.inferred, lambda: preview)
        with seconds.of("encode"):
            encoding = watch.part(shares.inferred, 1.0)
            encoded = encoding.during(lambda: _encode(outcome, parameters), expected_seconds=shares.encoding)
        info = _info(engine, header, outcome, encoded) | {
            "seconds": seconds.seconds | outcome.seconds,
            "warnings": [*outcome.warnings, *_unused(parameters, self.operation, engine, unknown)],
            "parameters": parameters.described(self.operation.accepts) | outcome.chosen,
        }
        watch.report(1.0)
        return Result(encoded.data, encoded.format, outcome.picture.width, outcome.picture.height, info, preview)

    def close(self, patience: float | None = None) -> None:
        """
        Stop the engines' threads; work that waits for a pass ends with Cancelled.

        patience: seconds that each may take to end the pass it is in; None waits for it, however long it is.
        """
        for engine in self.engines.values():
            if isinstance(engine, SharesPasses):
                engine.batcher.close(patience)

    def _decode(self, data: bytes) -> Picture:
        return images.decode(data, self.limits)

    def _shares(self, header: Header, engine: Engine, parameters: Parameters) -> _Shares:
        width, height = self.operation.output_size(header.width, header.height, parameters) or (
            header.width,
            header.height,
        )
        came, goes = header.width * header.height / 1e6, width * height / 1e6
        return _Shares(
            decoding=_DECODE_SECONDS * came,
            inferring=engine.seconds_per_megapixel * came,
            encoding=_ENCODE_SECONDS.get(parameters.format, _ENCODE_SECONDS["png"]) * goes,
        )

    def _inspected(self, data: bytes, parameters: Parameters) -> Header:
        header = images.inspect(data, self.limits)
        size = self.operation.output_size(header.width, header.height, parameters)
        if size is None or size[0] * size[1] <= self.output_pixels:
            return header
        made, allowed = size[0] * size[1] / 1e6, self.output_pixels / 1e6
        raise ImageTooLarge(
            f"The result would have {made:.1f} megapixels ({size[0]} x {size[1]}); {allowed:g} are allowed. "
            f"The image has {header.width} x {header.height}."
        )

    def _infer(self, engine: Engine, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        # What the API promises of every engine, and no engine need be trusted with.
        outcome = Outcome(picture) if parameters.strength == 0 else engine.run(picture, parameters, watch)
        made = outcome.picture
        promised = self.operation.output_size(picture.width, picture.height, parameters)
        if promised is not None:
            quality.require_size(made.rgb, promised)
        if not self.operation.may_be_flat:
            quality.require_not_flat(made.rgb, picture.rgb)
        return outcome


def _announced(engine: Engine) -> AbstractContextManager[None]:
    return engine.batcher.announced() if isinstance(engine, SharesPasses) else nullcontext()


def _asked_for(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None and value != ""}


def _encode(outcome: Outcome, parameters: Parameters) -> Encoded:
    wanted = "png" if parameters.format == "auto" and outcome.lossless else parameters.format
    return images.encode(
        outcome.picture,
        format=wanted,
        quality=parameters.quality,
        metadata=parameters.metadata,
        background=parameters.bg_color or images.WHITE,
    )


def _unused(parameters: Parameters, operation: Operation, engine: Engine, unknown: list[str]) -> list[str]:
    warnings = [f"{name} is not a parameter of this operation and was ignored." for name in unknown]
    # A default is nobody's wish: a caller may send them all.
    asked = {name for name, default in operation.accepts.items() if getattr(parameters, name) != default}
    idle = sorted(asked - engine.uses)
    return warnings + [f"The {name} was not used: the engine {engine.name} takes none." for name in idle]


def _info(engine: Engine, header: Header, outcome: Outcome, encoded: Encoded) -> dict[str, object]:
    picture = outcome.picture
    return {
        "engine": {"name": engine.name, "version": engine.version, "weights_sha256": engine.weights_sha256},
        "input": {"format": header.format, "width": header.width, "height": header.height},
        "format": encoded.format,
        "width": picture.width,
        "height": picture.height,
        "checks": outcome.checks,
        "device": outcome.device.described(),
        "batch_size": outcome.batch_size,
    }


@dataclass(frozen=True)
class _Shares:
    """Seconds that each stage is expected to take, and how far along the work is after each."""

    decoding: float
    inferring: float
    encoding: float

    @property
    def decoded(self) -> float:
        return self.decoding / (self.decoding + self.inferring + self.encoding)

    @property
    def inferred(self) -> float:
        return 1 - self.encoding / (self.decoding + self.inferring + self.encoding)


@dataclass
class _Stopwatch:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[stage] = round(time.monotonic() - began, 3)
