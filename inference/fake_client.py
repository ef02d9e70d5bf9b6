"""An InferenceClient in memory: does as it is told, at once, and keeps the contract of the real one."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from inference.client import Cancellation, InferenceRequest, InferenceResult, Progress
from inference.errors import InferenceBroken, InferenceCancelled, InferenceError, InferenceTimeout, InferenceUnavailable

_ENGINE = {"name": "fake", "version": "1", "weights_sha256": "0" * 64}
_GATE_POLL_SECONDS = 0.005


@dataclass(frozen=True)
class Script:
    """
    What happens in one call: progress, each followed by step_seconds; then the gate; then the error or the result.

    gate: an event to wait for, for a call that has to last until the test says so. image: None returns the input.
    """

    progress: Sequence[Progress] = (Progress(0.0), Progress(0.5))
    step_seconds: float = 0.0
    gate: threading.Event | None = None
    error: InferenceError | None = None
    image: bytes | None = field(default=None, repr=False)
    preview: bytes | None = field(default=None, repr=False)
    info: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({"engine": _ENGINE, "batch_size": 1}))


class FakeInferenceClient:
    """
    Follows the scripts given to will(), one for each call, and the default script after that.

    sleep: how time passes in a call; the default lets none pass, yet a deadline shorter than the script still counts.
    models: those it serves, None for any. up: False makes every call unavailable, as if the server were down.
    requests: all that were asked, in order.
    """

    def __init__(
        self,
        default: Script = Script(),
        *,
        models: Collection[str] | None = None,
        sleep: Callable[[float], object] = lambda _: None,
    ) -> None:
        self.default = default
        self._models = models
        self.up = True
        self.requests: list[InferenceRequest] = []
        self._sleep = sleep
        self._scripts: deque[Script] = deque()

    def will(self, *scripts: Script) -> None:
        """Add scripts for the calls to come."""
        self._scripts.extend(scripts)

    def infer(
        self,
        request: InferenceRequest,
        *,
        timeout: float,
        on_progress: Callable[[Progress], None],
        cancellation: Cancellation,
    ) -> InferenceResult:
        _stop_if(cancellation)
        if not self.up:
            raise InferenceUnavailable("The fake model server is down.")
        if not self._serves(request.model):
            raise InferenceBroken(f"The fake model server has no model {request.model}.")
        self.requests.append(request)
        script = self._scripts.popleft() if self._scripts else self.default
        left = timeout
        for progress in script.progress:
            on_progress(progress)
            self._sleep(min(script.step_seconds, left))
            _stop_if(cancellation)
            left = _less(left, script.step_seconds)
        _wait_for(script.gate, left, cancellation)
        if script.error:
            raise script.error
        image = request.image if script.image is None else script.image
        return InferenceResult(image=image, info=script.info, preview=script.preview)

    def ready(self, model: str) -> bool:
        return self.up and self._serves(model)

    def close(self) -> None:
        """Nothing to let go of."""

    def _serves(self, model: str) -> bool:
        return self._models is None or model in self._models


def _stop_if(cancellation: Cancellation) -> None:
    if cancellation.cancelled:
        raise InferenceCancelled("The call was cancelled.")


def _less(left: float, seconds: float) -> float:
    if seconds >= left:
        raise InferenceTimeout("The fake model did not finish in time.")
    return left - seconds


def _wait_for(gate: threading.Event | None, left: float, cancellation: Cancellation) -> None:
    deadline = time.monotonic() + left
    while gate and not gate.wait(_GATE_POLL_SECONDS):
        _stop_if(cancellation)
        if time.monotonic() > deadline:
            raise InferenceTimeout("The fake model did not finish in time.")
