"""What Triton does that one would not think; docs/model-server.md has the list of its traps and the test for each."""

import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from inference import tensors
from inference.client import Cancellation, InferenceRequest, InferenceResult
from inference.errors import InferenceRefused
from inference.triton_client import TritonInferenceClient
from tests.manifests.metric_names import TRITONS_REQUESTS
from triton_models.local_triton import LocalTriton
from triton_models.server_wheel import PROJECT_ROOT

pytestmark = [pytest.mark.triton, pytest.mark.xdist_group("triton")]

# Half a minute of work, whose beginning it tells.
DYING_CLIENT = """
import sys
from inference.client import Cancellation, InferenceRequest
from inference.triton_client import TritonInferenceClient

request = InferenceRequest(model="sleeper", image=b"abc", request_id="dies", options={"steps": 300, "step_seconds": 0.1})
TritonInferenceClient(sys.argv[1]).infer(
    request, timeout=60, on_progress=lambda _: print("begun", flush=True), cancellation=Cancellation()
)
"""


def sleep(
    client: TritonInferenceClient, *, model: str = "sleeper", timeout: float = 20, **options: object
) -> InferenceResult:
    request = InferenceRequest(model=model, image=b"abc", request_id="test", options=options)
    return client.infer(request, timeout=timeout, on_progress=lambda _: None, cancellation=Cancellation())


def metrics_of(server: LocalTriton) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def waiting(server: LocalTriton, model: str) -> int:
    text = metrics_of(server)
    found = re.search(rf'^nv_inference_pending_request_count{{model="{model}",version="1"}} (\d+)', text, re.MULTILINE)
    assert found
    return int(found[1])


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class TestTritonsMetrics:
    def test_have_the_names_that_it_is_watched_and_scaled_by(self, triton: LocalTriton) -> None:
        named = set(re.findall(r"^# TYPE (\w+)", metrics_of(triton), re.MULTILINE))

        assert named >= TRITONS_REQUESTS


class TestAClientThatDies:
    def test_frees_the_model(self, triton: LocalTriton, triton_client: TritonInferenceClient) -> None:
        # One for each of the model's threads.
        clients = [
            subprocess.Popen(
                [sys.executable, "-c", DYING_CLIENT, triton.grpc_url],
                cwd=PROJECT_ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for client in clients:
            assert client.stdout
            assert client.stdout.readline() == "begun\n"

        for client in clients:
            client.send_signal(signal.SIGKILL)
            client.communicate()

        # Far sooner than what they had asked for would have ended.
        assert sleep(triton_client, timeout=10).image == b"cba"


class TestAUnaryCall:
    def test_is_not_understood_by_a_model_that_streams(self, triton: LocalTriton) -> None:
        message = tensors.encode(InferenceRequest(model="sleeper", image=b"abc", request_id="test"))

        with grpc.insecure_channel(triton.grpc_url) as channel, pytest.raises(grpc.RpcError) as refused:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=10)

        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


class TestTritonsStatistics:
    def test_count_a_refusal_as_a_success_so_that_ours_are_the_workers(
        self, triton: LocalTriton, triton_client: TritonInferenceClient
    ) -> None:
        before = triton.statistics("sleeper")["inference_stats"]

        with pytest.raises(InferenceRefused):
            sleep(triton_client, steps=0, fail="refuse")

        after = triton.statistics("sleeper")["inference_stats"]
        assert int(after["success"]["count"]) == int(before["success"]["count"]) + 1
        assert after["fail"] == before["fail"]


class TestTheNumberOfPendingRequests:
    def test_counts_what_waits_so_that_servers_can_be_added_by_it(
        self, triton: LocalTriton, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        gate = threading.Event()

        def one() -> InferenceResult:
            gate.wait(10)
            return sleep(triton_client, steps=20, step_seconds=0.1, timeout=60)

        calls: list[Future[InferenceResult]] = [threads.submit(one) for _ in range(8)]
        gate.set()
        most = 0
        while not all(call.done() for call in calls):
            most = max(most, waiting(triton, "sleeper"))

        assert all(call.result().image == b"cba" for call in calls)
        # Eight came, two run, and at most four are in the model's hands.
        assert most >= 2
        assert waiting(triton, "sleeper") == 0
