"""What the product asks of a model server, whichever one answers."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol


@dataclass(frozen=True)
class InferenceRequest:
    """
    One image and what to do with it. None and empty mean that the model decides.

    image: an encoded file (JPEG, PNG, ...), not pixels. strength: 0 to 1. guidance_scale: 0 to 20. scale: 2 or 4.
    options: JSON values that only some engines know (engine, format, quality, ...). request_id turns up in the
    model server's log, traceparent (W3C Trace Context) in its traces, where it records any.
    """

    model: str
    image: bytes = field(repr=False)
    request_id: str
    prompt: str = field(default="", repr=False)
    negative_prompt: str = field(default="", repr=False)
    strength: float | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    seed: int | None = None
    scale: int | None = None
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    traceparent: str = ""


@dataclass(frozen=True)
class Progress:
    """fraction: 0 to 1, the first one as soon as the model has begun. preview: a small JPEG, in some of them."""

    fraction: float
    preview: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class InferenceResult:
    """
    image: the encoded result. info: engine, weights digest, seconds per stage, batch size, checks.

    preview: a small JPEG of the result.
    """

    image: bytes = field(repr=False)
    info: Mapping[str, object]
    preview: bytes | None = field(default=None, repr=False)


class Cancellation:
    """Tells a running call to stop, from any thread. Once cancelled it stays so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[object, Callable[[], object]] = {}
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """Run every callback, in the order they came; a second call does nothing."""
        with self._lock:
            callbacks, self._callbacks = self._callbacks, {}
            self._cancelled = True
        for callback in callbacks.values():
            callback()

    def on_cancel(self, callback: Callable[[], object]) -> Callable[[], None]:
        """
        Call back when cancelled: in the thread that cancels, or here and now if that has happened.

        Returns a function that takes the callback back.
        """
        key = object()
        with self._lock:
            if not self._cancelled:
                self._callbacks[key] = callback
                return lambda: self._forget(key)
        callback()
        return lambda: None

    def _forget(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)


class InferenceClient(Protocol):
    """A model server. Safe to use from several threads."""

    def infer(
        self,
        request: InferenceRequest,
        *,
        timeout: float,
        on_progress: Callable[[Progress], None],
        cancellation: Cancellation,
    ) -> InferenceResult:
        """
        Run the model and wait for its result.

        timeout: seconds for all of it, queueing included. on_progress is called in this thread with fractions that
        never fall; what it raises stops the model and comes out of here.
        Raises InferenceUnavailable (retryable), InferenceTimeout, InferenceCancelled, InferenceRefused (carries the
        model's code), InferenceBroken.
        """

    def ready(self, model: str) -> bool:
        """Say whether the model would take a request now; no answer within two seconds is a no."""

    def close(self) -> None:
        """Let go of the connection; calls that run are cancelled. May be called twice."""
