"""A model server for tests of what is around it: answers over real gRPC, at once, and remembers what it was asked."""

from __future__ import annotations

import io
import json
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import grpc
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_ENGINE = {"name": "fake", "version": "1", "weights_sha256": "0" * 64}


@dataclass(frozen=True)
class Asked:
    """One inference: the request's id, and the call's metadata."""

    request_id: str
    metadata: dict[str, str]


class _Models(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, asked: list[Asked]) -> None:
        self._asked = asked

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802 - Triton's name
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelStreamInfer(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        metadata = {str(name): str(value) for name, value in context.invocation_metadata()}
        for request in requests:
            self._asked.append(Asked(request.id, metadata))
            yield _answer(PROGRESS=struct.pack("<f", 0.5))
            yield _answer(
                RESULT=_picture(), INFO=_string({"engine": _ENGINE, "format": "png", "width": 8, "height": 8})
            )


def _answer(**outputs: bytes) -> Any:
    response = service_pb2.ModelInferResponse()
    for name, content in outputs.items():
        response.outputs.add(name=name)
        response.raw_output_contents.append(content)
    return service_pb2.ModelStreamInferResponse(infer_response=response)


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


def _string(value: object) -> bytes:
    text = json.dumps(value).encode()
    return struct.pack("<I", len(text)) + text


@dataclass
class FakeTriton:
    """Serves while its block runs, at `url`."""

    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(4))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Models(self.asked), self._server)
        self.url = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(grace=None).wait(5)
