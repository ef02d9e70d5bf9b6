"""
The glue between Triton's Python backend and a pipeline: tensors in, progress and one result out.

Every model.py of the repository is this class. Names, types and shapes of the tensors are in its config.pbtxt.
"""

import io
import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # exists inside Triton alone

from triton_models import devices, self_test, weights
from triton_models.errors import Cancelled, InvalidParameter, ModelError
from triton_models.pipeline import Pipeline, Request, Result

_PROGRESS_EVERY_SECONDS = 0.2
# On a card two batches: one is computed while the other is decoded or encoded. On a processor they share its cores.
_CONCURRENCY_ON_A_CARD, _CONCURRENCY = 8, 2
_SERVER_CHECK_SECONDS = 0.5
# The read ends with a word from finalize() or with the death of whoever holds the other end of the pipe.
_GUARD = """
trap '' INT TERM
read -r word
if [ "$word" != finished ]; then
    echo "A model's process was killed; Triton stops, so that it is started anew." >&2
    # A second signal, because the server waits for ever for answers of the dead.
    kill -TERM "$0" && sleep 5 && kill -KILL "$0"
fi
"""

_log = logging.getLogger(__name__)


class RunsRequests(Protocol):
    """What a model needs of its pipeline; run() is safe to call from several threads."""

    def run(
        self, request: Request, *, on_progress: Callable[[float, bytes | None], None], is_cancelled: Callable[[], bool]
    ) -> Result: ...

    def close(self) -> None: ...


class PipelineModel:
    """
    A Triton model over the pipeline of its name.

    Requests of a batch run in at most IMAGEN_ENGINE_CONCURRENCY threads (8 on a card, else 2), and execute() returns as
    soon as the last of them has one: a small picture does not wait behind a large one, yet what cannot run now stays in
    Triton's own queue, where it is counted, can be cancelled and can time out.
    """

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the pipeline; raises ModelError when it cannot be used, RuntimeError when the interpreter is wrong."""
        _refuse_numpy_2()
        _speak_utf8()
        _log_to_stderr()
        # Read before minutes of loading, for a typing error to be told at once.
        devices.refuse_wrong_settings()
        asked = _asked_concurrency()
        self._pipeline = self.load_pipeline(args["model_name"], weights.model_volume())
        concurrency = asked or (_CONCURRENCY_ON_A_CARD if devices.uses_card() else _CONCURRENCY)
        self._stopping = threading.Event()
        self._free_threads = threading.BoundedSemaphore(concurrency)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix=args["model_name"])
        self._guard = _stop_server_if_killed()
        threading.Thread(target=_end_with_server, args=(os.getppid(),), daemon=True).start()

    def load_pipeline(self, operation: str, volume: Path) -> RunsRequests:
        """Return what answers the requests, proved to work; a model of the tests overrides this."""
        pipeline = Pipeline.load(operation, volume)
        self_test.check(pipeline)
        return pipeline

    def execute(self, requests: Sequence[Any]) -> None:
        """Answer every request through its response sender, each with a result or an error of its own."""
        for request in requests:
            self._free_threads.acquire()
            self._threads.submit(self._answer, request, len(requests)).add_done_callback(self._give_back)

    def finalize(self) -> None:
        """Stop what runs; every request gets its answer first."""
        self._stopping.set()
        self._pipeline.close()
        self._threads.shutdown(wait=True)
        self._guard.communicate(b"finished\n")

    def _give_back(self, _: object) -> None:
        self._free_threads.release()

    def _answer(self, request: Any, handed_over: int) -> None:  # noqa: ANN401 - Triton's class exists inside the server
        sender = request.get_response_sender()
        try:
            response = self._run(request, sender, handed_over)
        except ModelError as error:
            response = _failure(error.code, str(error))
        except Exception as error:  # noqa: BLE001
            # The edge: what escapes from here would take the rest of the batch, or the whole model, with it.
            # The job's id. In the text, because nothing but the text is written inside Triton.
            _log.exception("request %s failed", request.request_id())
            response = _failure("internal", f"{type(error).__name__} in the model; its log says where.")
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _run(self, request: Any, sender: Any, handed_over: int) -> Any:  # noqa: ANN401 - as above
        def is_cancelled() -> bool:
            return self._stopping.is_set() or sender.is_cancelled()

        if is_cancelled():
            raise Cancelled("The request was cancelled before it began.")
        report = _ProgressReport(sender)
        report(0.0, None)
        result = self._pipeline.run(unpack(request), on_progress=report, is_cancelled=is_cancelled)
        return _success(result, handed_over)


class _ProgressReport:
    """Sends progress at most five times a second; a preview that comes too early waits for the next time."""

    def __init__(self, sender: Any, clock: Callable[[], float] = time.monotonic) -> None:  # noqa: ANN401 - as above
        self._sender = sender
        self._clock = clock
        self._next_at = -math.inf
        self._preview: bytes | None = None

    def __call__(self, fraction: float, preview: bytes | None) -> None:
        self._preview = preview or self._preview
        if self._clock() < self._next_at:
            return
        self._next_at = self._clock() + _PROGRESS_EVERY_SECONDS
        tensors = [pb_utils.Tensor("PROGRESS", np.array([[fraction]], np.float32))]
        if self._preview:
            tensors.append(_bytes_tensor("PREVIEW", self._preview))
            self._preview = None
        self._sender.send(pb_utils.InferenceResponse(tensors))


def unpack(request: Any) -> Request:  # noqa: ANN401 - as above
    """
    Return the request of the pipeline that Triton's request stands for.

    Raises InvalidParameter, naming the tensor, for what no pipeline could read.
    """
    image = pb_utils.get_input_tensor_by_name(request, "IMAGE")
    # Triton lets a request through that lacks a required input as long as it has an optional one.
    if image is None:
        raise InvalidParameter("IMAGE is missing.")
    pixels = image.as_numpy()
    if pixels.ndim != 2 or len(pixels) != 1:
        raise InvalidParameter(f"IMAGE must hold one file, its shape is {list(pixels.shape)}.")
    return Request(
        image=pixels.tobytes(),
        prompt=_text(request, "PROMPT"),
        negative_prompt=_text(request, "NEGATIVE_PROMPT"),
        strength=_decimal(request, "STRENGTH"),
        guidance_scale=_decimal(request, "GUIDANCE_SCALE"),
        steps=_integer(request, "STEPS"),
        seed=_integer(request, "SEED"),
        scale=_integer(request, "SCALE"),
        options=_options(request),
    )


def _value(request: Any, name: str) -> Any:  # noqa: ANN401 - as above
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    values = tensor.as_numpy().ravel()
    if len(values) != 1:
        raise InvalidParameter(f"{name} must hold one value, it holds {len(values)}.")
    return values[0]


def _integer(request: Any, name: str) -> int | None:  # noqa: ANN401 - as above
    value = _value(request, name)
    return None if value is None else int(value)


def _decimal(request: Any, name: str) -> float | None:  # noqa: ANN401 - as above
    value = _value(request, name)
    # A float32 0.3 is 0.30000001192...: back to the decimal that was asked for.
    return None if value is None else float(str(value))


def _text(request: Any, name: str) -> str:  # noqa: ANN401 - as above
    value = _value(request, name)
    try:
        return "" if value is None else value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidParameter(f"{name} is not UTF-8.") from error


def _options(request: Any) -> dict[str, object]:  # noqa: ANN401 - as above
    try:
        options = json.loads(_text(request, "OPTIONS") or "{}")
    except json.JSONDecodeError as error:
        raise InvalidParameter(f"OPTIONS is not JSON: {error}.") from error
    if not isinstance(options, dict):
        raise InvalidParameter("OPTIONS must be a JSON object.")
    return options


def _success(result: Result, handed_over: int) -> Any:  # noqa: ANN401 - as above
    info = json.dumps({**result.info, "triton_batch": handed_over}, allow_nan=False)
    tensors = [_bytes_tensor("RESULT", result.image), pb_utils.Tensor("INFO", np.array([[info.encode()]], np.object_))]
    if result.preview:
        # Beside the result: as progress, it would come too soon behind another and never be sent.
        tensors.append(_bytes_tensor("PREVIEW", result.preview))
    return pb_utils.InferenceResponse(tensors)


def _failure(code: str, sentence: str) -> Any:  # noqa: ANN401 - as above
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{code}: {sentence}"))


def _bytes_tensor(name: str, content: bytes) -> Any:  # noqa: ANN401 - as above
    return pb_utils.Tensor(name, np.frombuffer(content, np.uint8)[None])


def _refuse_numpy_2() -> None:
    if int(np.__version__.split(".")[0]) >= 2:
        raise RuntimeError(f"Triton's Python backend misreads arrays of numpy {np.__version__}: it needs numpy < 2.")


def _speak_utf8() -> None:
    # The backend's interpreter starts with ASCII, and a print of anything else would fail the request.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _log_to_stderr() -> None:
    # Python's handler of last resort writes warnings alone, and without the name of who warns.
    ours = logging.getLogger("triton_models")
    ours.setLevel(logging.INFO)
    if not ours.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        ours.addHandler(handler)


def _asked_concurrency() -> int | None:
    text = os.environ.get("IMAGEN_ENGINE_CONCURRENCY")
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise RuntimeError(f"IMAGEN_ENGINE_CONCURRENCY must be a whole number from 1 on, not {text!r}.")
    return int(text)


def _stop_server_if_killed() -> subprocess.Popen[bytes]:
    """
    Leave a guard that stops Triton should this process die without finalize().

    Triton never starts a killed process anew: its requests would hang until their deadlines and every later one fail,
    while all health endpoints say yes. Stopped, it is started again by whoever looks after it.
    """
    return subprocess.Popen(["/bin/sh", "-c", _GUARD, str(os.getppid())], stdin=subprocess.PIPE)


def _end_with_server(server: int) -> None:
    # The stub notices by itself that the server was killed, but then waits for ever for its last responses to leave.
    while os.getppid() == server:
        time.sleep(_SERVER_CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
