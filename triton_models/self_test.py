"""
Whether loaded engines work at all: one tiny picture through each, with every check, before the server says it is ready.

Weights may load and still give nothing: a card without memory to compute, a driver that is too old, a library that was
swapped. Better that the server does not start than that every job fails.
"""

from __future__ import annotations

import io
import itertools
import logging
import time
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from triton_models.errors import EngineUnavailable
from triton_models.pipeline import Request

if TYPE_CHECKING:
    from triton_models.pipeline import Pipeline

_SIDE = 64
# One denoising step where strength counts, two where it does not.
_STEPS, _STRENGTH, _PROMPT = 2, 0.5, "a photograph"

_log = logging.getLogger(__name__)


def check(pipeline: Pipeline) -> None:
    """
    Run a tiny picture through every engine that jobs may meet, and log in one line what each took.

    An engine that is slow on this device and taken only by its name is left out: it would take minutes. Raises
    EngineUnavailable, naming the engine and the reason, for the first that fails.
    """
    names = _tested(pipeline)
    took = {name: _try(pipeline, name) for name in names}
    told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items())
    _log.info("self-test of %s passed: %s", pipeline.operation.name, told)
    for name in pipeline.engines.keys() - took.keys():
        _log.warning("the engine %s of %s was loaded but not tested: it needs a card", name, pipeline.operation.name)


def _tested(pipeline: Pipeline) -> list[str]:
    """Return the engines that auto thinks of, in its order; the light one, which fits every request, is the last."""
    light = pipeline.operation.light.name
    return [*itertools.takewhile(lambda name: name != light, pipeline.engines), light]


def _try(pipeline: Pipeline, engine: str) -> float:
    began, request = time.monotonic(), _request(pipeline, engine)
    try:
        pipeline.run(request, on_progress=lambda _fraction, _preview: None, is_cancelled=lambda: False)
    # The edge of the start: whatever an engine does, the log must say which one it was.
    except Exception as error:
        reason = str(error) or type(error).__name__
        which = f"The engine {engine} of {pipeline.operation.name}"
        raise EngineUnavailable(f"{which} fails its self-test: {reason}") from error
    return time.monotonic() - began


def _request(pipeline: Pipeline, engine: str) -> Request:
    accepts = pipeline.operation.accepts
    return Request(
        image=_picture(),
        prompt=_PROMPT if "prompt" in accepts else "",
        strength=_STRENGTH if "strength" in accepts else None,
        steps=_STEPS if "steps" in accepts else None,
        seed=0,
        options={"engine": engine},
    )


def _picture() -> bytes:
    """Return a PNG of two gradients under noise: it has colour, tone and detail, and no two pixels alike."""
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] / (_SIDE - 1)
    planes = np.stack([columns, rows, 1 - (rows + columns) / 2], axis=-1)
    noise = np.random.default_rng(0).normal(0, 0.03, planes.shape)
    file = io.BytesIO()
    Image.fromarray(((planes + noise).clip(0, 1) * 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
