"""What the client of the real Triton promises beyond the contract that it shares with the fake."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from inference.client import Cancellation, InferenceRequest, InferenceResult, Progress
from inference.errors import InferenceRefused, InferenceTimeout, InferenceUnavailable
from inference.triton_client import TritonInferenceClient
from tests.triton_fixtures import LocalTriton

pytestmark = [pytest.mark.triton, pytest.mark.xdist_group("triton")]

MEGABYTE = 10**6


def infer(
    client: TritonInferenceClient,
    *,
    model: str = "sleeper",
    image: bytes = b"abc",
    timeout: float = 20,
    begun: threading.Event | None = None,
    **options: object,
) -> InferenceResult:
    def on_progress(_: Progress) -> None:
        if begun:
            begun.set()

    request = InferenceRequest(model=model, image=image, request_id="test", options=options)
    return client.infer(request, timeout=timeout, on_progress=on_progress, cancellation=Cancellation())


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class TestTritonInferenceClient:
    def test_keeps_neither_memory_nor_threads_of_forty_calls(self, triton_client: TritonInferenceClient) -> None:
        photo = os.urandom(3 * MEGABYTE)
        for _ in range(5):
            infer(triton_client, image=photo, steps=1)
        before, threads_before = resident_megabytes(), threading.active_count()

        for _ in range(40):
            infer(triton_client, image=photo, steps=1)

        # What leaks keeps 120 MB or more of these calls (a client for each call kept 402); gRPC's own buffers come and go.
        assert resident_megabytes() - before < 60
        assert threading.active_count() <= threads_before

    def test_carries_a_file_of_a_hundred_megabytes_there_and_back(self, triton_client: TritonInferenceClient) -> None:
        photo = bytes(100 * MEGABYTE - 1) + b"!"

        result = infer(triton_client, image=photo, steps=1)

        assert len(result.image) == 100 * MEGABYTE
        assert result.image[:1] == b"!"

    def test_refuses_a_file_that_no_message_can_carry(self, triton_client: TritonInferenceClient) -> None:
        with pytest.raises(InferenceRefused) as refused:
            infer(triton_client, image=bytes(110 * MEGABYTE))

        assert refused.value.code == "image_too_large"

    def test_finds_the_server_again_when_it_is_back(
        self, triton: LocalTriton, triton_client: TritonInferenceClient
    ) -> None:
        infer(triton_client)
        triton.stop()
        with pytest.raises(InferenceUnavailable):
            infer(triton_client)

        triton.start()

        assert answers_within(5, triton_client)

    def test_says_whether_a_lost_request_had_begun(
        self, triton: LocalTriton, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        begun = threading.Event()
        call = threads.submit(infer, triton_client, begun=begun, steps=50, step_seconds=0.1)
        assert begun.wait(5)

        triton.kill()

        lost = call.exception(timeout=5)
        assert isinstance(lost, InferenceUnavailable)
        assert lost.started

    def test_keeps_its_deadline_when_the_server_hangs(
        self, triton: LocalTriton, triton_client: TritonInferenceClient
    ) -> None:
        infer(triton_client)
        triton.pause()
        started = time.monotonic()

        with pytest.raises(InferenceTimeout):
            infer(triton_client, timeout=1)
        ready = triton_client.ready("sleeper")

        triton.resume()
        assert not ready
        assert time.monotonic() - started < 4
        assert infer(triton_client).image == b"cba"

    def test_calls_a_full_queue_an_outage_that_will_pass(
        self, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        calls = [threads.submit(infer, triton_client, model="narrow", steps=4, step_seconds=0.25) for _ in range(8)]

        errors = [error for error in map(Future.exception, calls) if error]

        assert any("Exceeds maximum queue size" in str(error) for error in errors)
        assert {type(error) for error in errors} == {InferenceUnavailable}
        assert not any(error.started for error in errors)
        assert infer(triton_client, model="narrow").image == b"cba"

    def test_reads_what_a_careless_model_prints_as_no_failure(self, triton_client: TritonInferenceClient) -> None:
        assert infer(triton_client, fail="mumble").image == b"cba"

    # Twenty: a channel that shares its parent's connection fails in one child of five.
    def test_works_in_forked_children_of_a_process_that_has_used_it(self, triton: LocalTriton) -> None:
        script = f"""
import os
from inference.client import Cancellation, InferenceRequest
from inference.triton_client import TritonInferenceClient

client = TritonInferenceClient("{triton.grpc_url}")
request = InferenceRequest(model="sleeper", image=b"abc", request_id="fork")
def infer():
    return client.infer(request, timeout=10, on_progress=lambda _: None, cancellation=Cancellation()).image
infer()
for _ in range(20):
    child = os.fork()
    if not child:
        print("child", infer(), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
print("parent", infer())
"""

        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

        assert done.stdout.splitlines() == ["child b'cba'"] * 20 + ["parent b'cba'"], done.stderr


def answers_within(seconds: float, client: TritonInferenceClient) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return infer(client).image == b"cba"
        except InferenceUnavailable:
            time.sleep(0.1)
    return False
