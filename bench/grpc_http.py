"""
gRPC against HTTP to the same Triton on this machine: the same bytes there and back, in paired rounds.

Each client is the barest that its protocol allows: Triton's generated stub over one channel, and one kept connection
with tensors as binary after a JSON head (or, as is often meant by "HTTP", as numbers in the JSON).
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from bench.tables import Load, machine, median_and_range, table
from tests.running_site import ROOT
from triton_models.local_triton import LocalTriton

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[bytes], bytes]

MEBIBYTE = 2**20
# A small photo, one of 12 megapixels, and the largest that most people send.
SIZES = {"100 kB": 100_000, "3 MB": 3_000_000, "25 MB": 25_000_000}
ROUNDS, CALLS = 9, 6
# JSON writes each byte as a number: more of it would say nothing new, and take minutes.
JSON_SIZE, JSON_CALLS = "3 MB", 1
_LIMITS = (("grpc.max_send_message_length", 64 * MEBIBYTE), ("grpc.max_receive_message_length", 64 * MEBIBYTE))


def grpc_call(address: str) -> Call:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(address, options=_LIMITS))

    def call(image: bytes) -> bytes:
        request = service_pb2.ModelInferRequest(model_name="echo", raw_input_contents=[image])
        tensor = request.inputs.add(name="IMAGE", datatype="UINT8")
        tensor.shape.append(len(image))
        return bytes(stub.ModelInfer(request, timeout=60).raw_output_contents[0])

    return call


def http_call(host: str, port: int) -> Call:
    connection = http.client.HTTPConnection(host, port, timeout=60)

    def call(image: bytes) -> bytes:
        tensor = {"name": "IMAGE", "datatype": "UINT8", "shape": [len(image)]}
        head = json.dumps(
            {
                "inputs": [{**tensor, "parameters": {"binary_data_size": len(image)}}],
                "outputs": [{"name": "RESULT", "parameters": {"binary_data": True}}],
            }
        ).encode()
        length = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        connection.request("POST", "/v2/models/echo/infer", head + image, length)
        answer = connection.getresponse()
        body = answer.read()
        return body[int(answer.headers["Inference-Header-Content-Length"]) :]

    return call


def json_call(host: str, port: int) -> Call:
    connection = http.client.HTTPConnection(host, port, timeout=120)

    def call(image: bytes) -> bytes:
        tensor = {"name": "IMAGE", "datatype": "UINT8", "shape": [len(image)], "data": list(image)}
        connection.request("POST", "/v2/models/echo/infer", json.dumps({"inputs": [tensor]}).encode())
        return bytes(json.loads(connection.getresponse().read())["outputs"][0]["data"])

    return call


def milliseconds(call: Call, image: bytes, calls: int) -> float:
    """Return the median time of a call; what came back must be what was sent."""
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        answer = call(image)
        times.append((time.perf_counter() - began) * 1000)
        assert answer == image
    return statistics.median(times)


def paired(first: Call, second: Call, image: bytes, *, calls: int, second_calls: int) -> list[tuple[float, float]]:
    """Return the milliseconds of both in each round; they take turns at going first."""
    for warm_up in (first, second):
        warm_up(image)
    rounds = []
    for number in range(ROUNDS):
        if number % 2:
            after = milliseconds(second, image, second_calls)
            rounds.append((milliseconds(first, image, calls), after))
        else:
            rounds.append((milliseconds(first, image, calls), milliseconds(second, image, second_calls)))
    return rounds


def row(size: str, how: str, rounds: list[tuple[float, float]]) -> tuple[str, ...]:
    ours, other = zip(*rounds, strict=True)
    ratios = [second / first for first, second in rounds]
    return (size, how, median_and_range(ours, " ms"), median_and_range(other, " ms"), median_and_range(ratios))


def main() -> None:
    log = Path(tempfile.mkdtemp(prefix="imagen-bench-")) / "triton.log"
    triton = LocalTriton(
        python=ROOT / ".venv-models/bin/python", log=log, repositories=[ROOT / "bench/echo_repository"]
    )
    load = Load()
    triton.start()
    try:
        ours = grpc_call(triton.grpc_url)
        binary, numbers = (make("127.0.0.1", triton.ports.http) for make in (http_call, json_call))
        images = {name: os.urandom(size) for name, size in SIZES.items()}
        rows = [
            row(name, "binary", paired(ours, binary, image, calls=CALLS, second_calls=CALLS))
            for name, image in images.items()
        ]
        slow = paired(ours, numbers, images[JSON_SIZE], calls=CALLS, second_calls=JSON_CALLS)
        rows.append(row(JSON_SIZE, "numbers in JSON", slow))
    finally:
        triton.stop()
    print(f"{machine()}, {load}\n")
    head = ("there and back", "HTTP's tensors", "gRPC", "HTTP", "HTTP / gRPC, median (range)")
    print(table("gRPC against HTTP", [head, *rows]))


if __name__ == "__main__":
    main()
