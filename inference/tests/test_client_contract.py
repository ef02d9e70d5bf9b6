"""What every InferenceClient promises, held against the fake and against the real Triton."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from inference.client import Cancellation, InferenceClient, InferenceRequest, InferenceResult, Progress
from inference.errors import (
    InferenceBroken,
    InferenceCancelled,
    InferenceRefused,
    InferenceTimeout,
    InferenceUnavailable,
)
from inference.fake_client import FakeInferenceClient, Script
from inference.triton_client import TritonInferenceClient
from tests.triton_fixtures import LocalTriton

LONG = 10.0


class Server(Protocol):
    client: InferenceClient

    def will(
        self, *, steps: int = 5, step_seconds: float = 0.0, preview: bytes = b"", fail: str = ""
    ) -> InferenceRequest:
        """Return a request that makes the model act like this."""

    def go_down(self) -> None: ...


class FakeServer:
    def __init__(self) -> None:
        self.client = FakeInferenceClient(models={"sleeper"}, sleep=time.sleep)

    def will(
        self, *, steps: int = 5, step_seconds: float = 0.0, preview: bytes = b"", fail: str = ""
    ) -> InferenceRequest:
        errors = {"refuse": InferenceRefused("invalid_parameter", "No."), "bug": InferenceBroken("A bug.")}
        progress = [Progress(step / steps, preview or None) for step in range(steps)]
        self.client.will(
            Script(progress, step_seconds=step_seconds, error=errors.get(fail), image=b"cba", preview=preview or None)
        )
        return InferenceRequest(model="sleeper", image=b"abc", request_id="contract")

    def go_down(self) -> None:
        self.client.up = False


class RealServer:
    def __init__(self, triton: LocalTriton, client: TritonInferenceClient) -> None:
        self.client = client
        self._triton = triton

    def will(
        self, *, steps: int = 5, step_seconds: float = 0.0, preview: bytes = b"", fail: str = ""
    ) -> InferenceRequest:
        options = {"steps": steps, "step_seconds": step_seconds, "preview": preview.decode(), "fail": fail}
        return InferenceRequest(model="sleeper", image=b"abc", request_id="contract", options=options)

    def go_down(self) -> None:
        self._triton.stop()


@pytest.fixture(
    params=["fake", pytest.param("triton", marks=[pytest.mark.triton, pytest.mark.xdist_group("triton")])],
)
def server(request: pytest.FixtureRequest) -> Server:
    if request.param == "fake":
        return FakeServer()
    return RealServer(request.getfixturevalue("triton"), request.getfixturevalue("triton_client"))


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def infer(
    server: Server,
    request: InferenceRequest,
    *,
    timeout: float = LONG,
    on_progress: Callable[[Progress], None] = lambda _: None,
    cancellation: Cancellation | None = None,
) -> InferenceResult:
    return server.client.infer(
        request, timeout=timeout, on_progress=on_progress, cancellation=cancellation or Cancellation()
    )


class TestInferenceClient:
    def test_returns_the_image_and_what_the_model_says_about_it(self, server: Server) -> None:
        result = infer(server, server.will())

        assert result.image == b"cba"
        assert result.info["batch_size"] == 1

    def test_reports_progress_from_the_start_on_and_never_backwards(self, server: Server) -> None:
        seen: list[Progress] = []

        infer(server, server.will(steps=4, step_seconds=0.3, preview=b"small jpeg"), on_progress=seen.append)

        fractions = [each.fraction for each in seen]
        assert fractions[0] == 0.0
        assert len(fractions) >= 3
        assert fractions == sorted(fractions)
        assert max(fractions) <= 1.0
        assert b"small jpeg" in [each.preview for each in seen]

    def test_returns_a_preview_of_the_result_however_soon_it_comes_behind_another(self, server: Server) -> None:
        result = infer(server, server.will(steps=2, preview=b"small jpeg"))

        assert result.preview == b"small jpeg"

    def test_calls_back_in_the_thread_of_the_caller(self, server: Server) -> None:
        seen: list[int] = []

        infer(server, server.will(), on_progress=lambda _: seen.append(threading.get_ident()))

        assert set(seen) == {threading.get_ident()}

    def test_serves_several_threads_at_once(self, server: Server, threads: ThreadPoolExecutor) -> None:
        requests = [server.will(steps=2, step_seconds=0.1) for _ in range(4)]

        results = list(threads.map(lambda request: infer(server, request), requests))

        assert [result.image for result in results] == [b"cba"] * 4

    def test_says_what_the_model_refused_and_why(self, server: Server) -> None:
        with pytest.raises(InferenceRefused) as refused:
            infer(server, server.will(fail="refuse"))

        assert refused.value.code == "invalid_parameter"
        assert refused.value.message
        assert not refused.value.retryable

    def test_tells_a_bug_from_a_refusal(self, server: Server) -> None:
        with pytest.raises(InferenceBroken) as broken:
            infer(server, server.will(fail="bug"))

        assert not broken.value.retryable

    def test_tells_an_unknown_model_from_an_outage(self, server: Server) -> None:
        request = InferenceRequest(model="nonesuch", image=b"abc", request_id="contract")

        with pytest.raises(InferenceBroken, match="nonesuch"):
            infer(server, request)

    def test_stops_at_the_deadline(self, server: Server) -> None:
        started = time.monotonic()

        with pytest.raises(InferenceTimeout):
            infer(server, server.will(steps=50, step_seconds=0.1), timeout=0.5)

        assert time.monotonic() - started < 1.0

    def test_stops_when_cancelled_from_another_thread(self, server: Server) -> None:
        cancellation = Cancellation()
        started = time.monotonic()
        threading.Timer(0.3, cancellation.cancel).start()

        with pytest.raises(InferenceCancelled):
            infer(server, server.will(steps=50, step_seconds=0.1), cancellation=cancellation)

        assert time.monotonic() - started < 1.0

    def test_can_be_cancelled_by_its_own_progress(self, server: Server) -> None:
        cancellation = Cancellation()

        with pytest.raises(InferenceCancelled):
            infer(
                server,
                server.will(steps=50, step_seconds=0.1),
                on_progress=lambda _: cancellation.cancel(),
                cancellation=cancellation,
            )

    def test_does_not_begin_what_is_cancelled_already(self, server: Server) -> None:
        cancellation = Cancellation()
        cancellation.cancel()
        seen: list[Progress] = []

        with pytest.raises(InferenceCancelled):
            infer(server, server.will(), on_progress=seen.append, cancellation=cancellation)

        assert seen == []

    def test_lets_out_what_the_callback_raises(self, server: Server) -> None:
        def refuse(_: Progress) -> None:
            raise LookupError("somebody else has the job")

        with pytest.raises(LookupError, match="somebody else"):
            infer(server, server.will(steps=50, step_seconds=0.1), on_progress=refuse)

    def test_works_on_after_a_call_that_was_cancelled(self, server: Server) -> None:
        cancellation = Cancellation()
        with pytest.raises(InferenceCancelled):
            infer(
                server,
                server.will(steps=50, step_seconds=0.1),
                on_progress=lambda _: cancellation.cancel(),
                cancellation=cancellation,
            )

        assert infer(server, server.will()).image == b"cba"

    def test_knows_which_models_are_ready(self, server: Server) -> None:
        assert server.client.ready("sleeper")
        assert not server.client.ready("nonesuch")

    def test_says_so_when_nobody_is_there(self, server: Server) -> None:
        server.go_down()

        with pytest.raises(InferenceUnavailable) as unavailable:
            infer(server, server.will())

        assert unavailable.value.retryable
        assert not unavailable.value.started
        assert not server.client.ready("sleeper")

    def test_may_be_closed_twice(self, server: Server) -> None:
        infer(server, server.will())

        server.client.close()
        server.client.close()
