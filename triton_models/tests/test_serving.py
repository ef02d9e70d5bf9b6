"""The glue to Triton's Python backend, on a stand-in for the module that exists only inside the server."""

import importlib.util
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from triton_models.errors import EngineUnavailable, InvalidParameter, UnreadableImage
from triton_models.pipeline import Request, Result


@dataclass
class Tensor:
    name: str
    array: np.ndarray

    def as_numpy(self) -> np.ndarray:
        return self.array


@dataclass
class Response:
    output_tensors: list[Tensor] = field(default_factory=list)
    error: str | None = None

    def __getitem__(self, name: str) -> Any:
        return next((tensor.array for tensor in self.output_tensors if tensor.name == name), None)


@dataclass
class Sender:
    cancelled: bool = False
    sent: list[Response] = field(default_factory=list)
    complete: threading.Event = field(default_factory=threading.Event)

    def send(self, response: Response, flags: int = 0) -> None:
        assert not self.complete.is_set()
        self.sent.append(response)
        if flags:
            self.complete.set()

    def is_cancelled(self) -> bool:
        return self.cancelled

    @property
    def answer(self) -> Response:
        assert self.complete.wait(5)
        return self.sent[-1]


@dataclass
class TritonRequest:
    tensors: dict[str, Any]
    sender: Sender = field(default_factory=Sender)

    def get_response_sender(self) -> Sender:
        return self.sender

    def request_id(self) -> str:
        return "job-1"


def request_with(image: bytes | None = b"photo", **tensors: Any) -> TritonRequest:
    dtypes = {float: np.float32, int: np.int64, bytes: np.object_}
    arrays = {name: np.array([[value]], dtypes[type(value)]) for name, value in tensors.items()}
    if image is not None:
        arrays["IMAGE"] = np.frombuffer(image, np.uint8)[None]
    return TritonRequest(arrays)


@dataclass
class Scripted:
    """A pipeline that does what it is told."""

    act: Callable[..., Any] = lambda **_: None
    asked: list[Request] = field(default_factory=list)
    closed: bool = False

    def close(self) -> None:
        self.closed = True

    def run(self, request: Request, **channels: Any) -> Result:
        self.asked.append(request)
        self.act(request=request, **channels)
        return Result(image=b"\x89PNG", format="png", width=1, height=1, info={"engine": "scripted"})


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    stand_in = SimpleNamespace(
        Tensor=Tensor,
        InferenceResponse=Response,
        TritonError=str,
        TRITONSERVER_RESPONSE_COMPLETE_FINAL=1,
        get_input_tensor_by_name=lambda request, name: (
            Tensor(name, request.tensors[name]) if name in request.tensors else None
        ),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", stand_in)
    yield importlib.import_module("triton_models.serving")
    del sys.modules["triton_models.serving"]


@pytest.fixture
def pipeline() -> Scripted:
    return Scripted()


@pytest.fixture
def model(serving: ModuleType, pipeline: Scripted, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("IMAGEN_ENGINE_CONCURRENCY", "2")
    monkeypatch.setattr(serving, "_stop_server_if_killed", lambda: SimpleNamespace(communicate=lambda _: None))
    monkeypatch.setattr(serving, "_end_with_server", lambda _: None)
    monkeypatch.setattr(serving.PipelineModel, "load_pipeline", lambda *_: pipeline)
    model = serving.PipelineModel()
    model.initialize({"model_name": "upscale"})
    yield model
    model.finalize()


class TestPipelineModel:
    def test_refuses_a_device_that_is_none_before_it_loads_anything(
        self, serving: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("IMAGEN_DEVICE", "gpu")

        with pytest.raises(EngineUnavailable, match="IMAGEN_DEVICE must be one of auto, cpu, cuda, not 'gpu'"):
            serving.PipelineModel().initialize({"model_name": "no such model"})

    def test_answers_with_the_result_and_what_is_told_about_it(self, model: Any) -> None:
        requests = [request_with(), request_with()]

        model.execute(requests)

        answer = requests[0].sender.answer
        assert answer["RESULT"].tobytes() == b"\x89PNG"
        assert json.loads(answer["INFO"][0, 0]) == {"engine": "scripted", "triton_batch": 2}

    def test_says_that_it_has_begun(self, model: Any) -> None:
        request = request_with()

        model.execute([request])

        assert request.sender.answer
        assert request.sender.sent[0]["PROGRESS"].tolist() == [[0.0]]

    def test_hands_the_pipeline_what_was_asked_for(self, model: Any, pipeline: Scripted) -> None:
        request = request_with(
            PROMPT="café".encode(), STRENGTH=0.3, STEPS=20, SEED=2**40, OPTIONS=b'{"engine": "light"}'
        )

        model.execute([request])

        assert request.sender.answer
        assert pipeline.asked == [
            Request(image=b"photo", prompt="café", strength=0.3, steps=20, seed=2**40, options={"engine": "light"})
        ]

    def test_tells_a_refusal_by_its_code(self, model: Any, pipeline: Scripted) -> None:
        def refuse(**_: Any) -> None:
            raise UnreadableImage("That is a poem.")

        pipeline.act = refuse
        request = request_with()

        model.execute([request])

        assert request.sender.answer.error == "unreadable_image: That is a poem."

    def test_keeps_a_bug_from_the_rest_of_the_batch_and_from_the_caller(
        self, model: Any, pipeline: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        def trip(*, request: Request, **_: Any) -> None:
            if request.image == b"trap":
                raise KeyError("secret path")

        pipeline.act = trip
        good, bad = request_with(), request_with(b"trap")

        model.execute([bad, good])

        assert bad.sender.answer.error == "internal: KeyError in the model; its log says where."
        assert good.sender.answer["RESULT"] is not None
        assert "secret path" in caplog.text
        assert f"request {bad.request_id()} failed" in caplog.messages

    def test_does_not_begin_what_nobody_waits_for(self, model: Any, pipeline: Scripted) -> None:
        request = request_with()
        request.sender.cancelled = True

        model.execute([request])

        assert str(request.sender.answer.error).startswith("cancelled: ")
        assert pipeline.asked == []

    def test_lets_a_short_request_pass_a_long_one(self, model: Any, pipeline: Scripted) -> None:
        gate = threading.Event()
        pipeline.act = lambda request, **_: request.image == b"long" and gate.wait(5)
        long, short = request_with(b"long"), request_with(b"short")

        model.execute([long])
        model.execute([short])

        assert short.sender.answer
        assert not long.sender.complete.is_set()
        gate.set()
        assert long.sender.answer

    def test_takes_no_more_from_triton_than_it_can_run(self, model: Any, pipeline: Scripted) -> None:
        gate = threading.Event()
        pipeline.act = lambda **_: gate.wait(5)
        requests = [request_with() for _ in range(4)]
        execution = threading.Thread(target=model.execute, args=(requests,))

        execution.start()
        execution.join(0.2)

        assert execution.is_alive()
        assert len(pipeline.asked) == 2
        gate.set()
        assert all(request.sender.answer for request in requests)
        execution.join()

    def test_stops_what_runs_when_it_is_unloaded(self, model: Any, pipeline: Scripted) -> None:
        stopped, begun = threading.Event(), threading.Event()

        def work(*, is_cancelled: Callable[[], bool], **_: Any) -> None:
            begun.set()
            while not is_cancelled():
                stopped.wait(0.01)
            stopped.set()

        pipeline.act = work
        model.execute([request_with()])
        assert begun.wait(5)

        model.finalize()

        assert stopped.is_set()
        assert pipeline.closed

    @pytest.mark.parametrize(("card", "at_once"), [("", 2), ("Tesla T4", 8)])
    def test_runs_as_many_at_once_as_fill_the_batches_of_a_card(
        self, serving: ModuleType, card: str, at_once: int, model: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("IMAGEN_ENGINE_CONCURRENCY")
        monkeypatch.setattr(serving.devices, "uses_card", lambda: bool(card))
        running, gate = threading.Semaphore(0), threading.Event()
        model._pipeline.act = lambda **_: (running.release(), gate.wait(5))
        another = serving.PipelineModel()
        another.initialize({"model_name": "upscale"})
        requests = [request_with() for _ in range(at_once + 1)]
        execution = threading.Thread(target=another.execute, args=(requests,))

        execution.start()
        began = [running.acquire(timeout=5) for _ in range(at_once)]
        one_more = running.acquire(timeout=0.1)
        gate.set()
        execution.join()
        another.finalize()

        assert all(began)
        assert not one_more


class TestProgress:
    def test_is_sent_five_times_a_second_at_most(self, serving: ModuleType) -> None:
        sender, now = Sender(), [0.0]
        report = serving._ProgressReport(sender, clock=lambda: now[0])

        for step in range(100):
            now[0] = step / 100
            report(step / 100, None)

        assert len(sender.sent) == 5

    def test_keeps_a_preview_that_comes_too_early_for_the_next_time(self, serving: ModuleType) -> None:
        sender, now = Sender(), [0.0]
        report = serving._ProgressReport(sender, clock=lambda: now[0])

        report(0.0, None)
        report(0.1, b"jpeg")
        now[0] = 1.0
        report(0.2, None)
        now[0] = 2.0
        report(0.3, None)

        previews = [response["PREVIEW"] for response in sender.sent]
        assert [preview is not None and preview.tobytes() for preview in previews] == [False, b"jpeg", False]


class TestUnpack:
    def test_refuses_a_request_without_an_image(self, serving: ModuleType) -> None:
        with pytest.raises(InvalidParameter, match="IMAGE is missing"):
            serving.unpack(request_with(None, SEED=1))

    def test_takes_an_empty_image_for_the_decoder_to_refuse(self, serving: ModuleType) -> None:
        assert serving.unpack(request_with(b"")).image == b""

    @pytest.mark.parametrize("options", [b"{", b"[]", b"7", b"\xff"])
    def test_refuses_options_that_are_no_json_object(self, serving: ModuleType, options: bytes) -> None:
        with pytest.raises(InvalidParameter, match="OPTIONS"):
            serving.unpack(request_with(OPTIONS=options))


class TestStart:
    @pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
    def test_refuses_a_concurrency_that_makes_no_sense(
        self, serving: ModuleType, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("IMAGEN_ENGINE_CONCURRENCY", value)

        with pytest.raises(RuntimeError, match=f"IMAGEN_ENGINE_CONCURRENCY.*{value}"):
            serving.PipelineModel().initialize({"model_name": "upscale"})

    def test_refuses_the_numpy_that_the_backend_misreads(
        self, serving: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(np, "__version__", "2.1.0")

        with pytest.raises(RuntimeError, match=r"numpy 2\.1\.0: it needs numpy < 2"):
            serving.PipelineModel().initialize({"model_name": "upscale"})


class TestRepository:
    def test_finds_the_project_wherever_a_copy_of_it_lies(
        self, serving: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = Path(__file__).resolve().parents[2]
        source = root / "triton_models/repository/upscale/1/model.py"
        copy = tmp_path / "model.py"
        copy.write_bytes(source.read_bytes())
        monkeypatch.setenv("IMAGEN_PROJECT_ROOT", str(root))
        monkeypatch.setattr(sys, "path", [*sys.path])
        spec = importlib.util.spec_from_file_location("model", copy)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)

        spec.loader.exec_module(module)

        assert module.TritonPythonModel is serving.PipelineModel
