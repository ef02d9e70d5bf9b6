"""
Request <-> named tensors: with config.pbtxt, the contract between us and the models.

Content travels as raw bytes in Triton's own layout (little-endian; a string behind its length in four bytes), so no
array library is needed to move a file.
"""

import json
import re
import struct
from dataclasses import dataclass
from types import MappingProxyType

from inference.client import InferenceRequest, InferenceResult, Progress
from inference.errors import InferenceBroken, InferenceRefused
from inference.triton_messages import service_pb2

_SENTENCE = re.compile(r"(?P<code>[a-z][a-z0-9_]*): (?P<message>.+)", re.DOTALL)
# Codes that say something else than no: the model failed; the model was stopped.
_BUG = "internal"
CANCELLED = "cancelled"


@dataclass(frozen=True)
class TensorSpec:
    """datatype in Triton's words; dims without the batch, -1 where any length will do."""

    name: str
    datatype: str
    dims: tuple[int, ...] = (1,)
    optional: bool = True
    ragged: bool = False


IMAGE = TensorSpec("IMAGE", "UINT8", dims=(-1,), optional=False, ragged=True)
PROMPT = TensorSpec("PROMPT", "BYTES")
NEGATIVE_PROMPT = TensorSpec("NEGATIVE_PROMPT", "BYTES")
STRENGTH = TensorSpec("STRENGTH", "FP32")
GUIDANCE_SCALE = TensorSpec("GUIDANCE_SCALE", "FP32")
STEPS = TensorSpec("STEPS", "INT32")
SEED = TensorSpec("SEED", "INT64")
SCALE = TensorSpec("SCALE", "INT32")
OPTIONS = TensorSpec("OPTIONS", "BYTES")
INPUTS = (IMAGE, PROMPT, NEGATIVE_PROMPT, STRENGTH, GUIDANCE_SCALE, STEPS, SEED, SCALE, OPTIONS)

RESULT = TensorSpec("RESULT", "UINT8", dims=(-1,), optional=False)
PROGRESS = TensorSpec("PROGRESS", "FP32", optional=False)
PREVIEW = TensorSpec("PREVIEW", "UINT8", dims=(-1,), optional=False)
INFO = TensorSpec("INFO", "BYTES", optional=False)
OUTPUTS = (RESULT, PROGRESS, PREVIEW, INFO)

_NUMBERS = MappingProxyType({"FP32": "<f", "INT32": "<i", "INT64": "<q"})


def encode(request: InferenceRequest) -> service_pb2.ModelInferRequest:
    """
    Return the message that asks for it; what the request leaves open is left out.

    Raises InferenceRefused when a number does not fit its tensor.
    """
    message = service_pb2.ModelInferRequest(model_name=request.model, id=request.request_id)
    _add(message, IMAGE, request.image)
    for spec, text in ((PROMPT, request.prompt), (NEGATIVE_PROMPT, request.negative_prompt)):
        if text:
            _add(message, spec, _string(text))
    for spec, number in _numbers(request):
        if number is not None:
            _add(message, spec, _number(spec, number))
    if request.options:
        _add(message, OPTIONS, _string(json.dumps(dict(request.options))))
    return message


def _numbers(request: InferenceRequest) -> tuple[tuple[TensorSpec, float | None], ...]:
    return (
        (STRENGTH, request.strength),
        (GUIDANCE_SCALE, request.guidance_scale),
        (STEPS, request.steps),
        (SEED, request.seed),
        (SCALE, request.scale),
    )


def _add(message: service_pb2.ModelInferRequest, spec: TensorSpec, content: bytes) -> None:
    length = len(content) if spec.dims == (-1,) else 1
    message.inputs.add(name=spec.name, datatype=spec.datatype, shape=(1, length))
    message.raw_input_contents.append(content)


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<I", len(encoded)) + encoded


def _number(spec: TensorSpec, value: float) -> bytes:
    try:
        return struct.pack(_NUMBERS[spec.datatype], value)
    except (struct.error, OverflowError) as error:
        raise InferenceRefused("invalid_parameter", f"{spec.name} cannot be {value!r}: {error}.") from error


def decode(response: service_pb2.ModelInferResponse) -> Progress | InferenceResult:
    """Return what a response carries; raises InferenceBroken when that is neither progress nor a result."""
    outputs = zip(response.outputs, response.raw_output_contents, strict=False)
    found = {output.name: content for output, content in outputs}
    try:
        if RESULT.name in found:
            return InferenceResult(
                image=found[RESULT.name],
                info=json.loads(_first_string(found[INFO.name])),
                preview=found.get(PREVIEW.name) or None,
            )
        (fraction,) = struct.unpack("<f", found[PROGRESS.name])
    except (KeyError, ValueError, struct.error) as error:
        raise InferenceBroken(f"The model {response.model_name} answered with {sorted(found)}: {error!r}.") from error
    return Progress(round(fraction, 4), found.get(PREVIEW.name) or None)


def _first_string(content: bytes) -> bytes:
    (length,) = struct.unpack_from("<I", content)
    return content[4 : 4 + length]


def refusal(message: str) -> InferenceRefused | None:
    """Return the model's no, written `code: sentence`; None when the message is a failure of another kind."""
    found = _SENTENCE.fullmatch(message)
    if not found or found["code"] == _BUG:
        return None
    return InferenceRefused(found["code"], found["message"])
