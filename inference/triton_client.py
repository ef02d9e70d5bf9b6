"""
Triton over gRPC: one channel per process, one stream per call.

tritonclient's own class allows one stream at a time and, given one client per call, keeps a thread and the payload of
each; its generated stub has an exact deadline, an exact cancel and no leak.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import grpc

from inference import tensors
from inference.client import Cancellation, InferenceRequest, InferenceResult, Progress
from inference.errors import (
    InferenceBroken,
    InferenceCancelled,
    InferenceError,
    InferenceRefused,
    InferenceTimeout,
    InferenceUnavailable,
)
from inference.triton_messages import service_pb2, service_pb2_grpc

if TYPE_CHECKING:
    # Exists in the stubs alone.
    from grpc import CallIterator

_MEBIBYTE = 2**20
# An upload has at most 100 MB; the rest is for prompts and framing.
_MAX_SENT_BYTES = 101 * _MEBIBYTE
# A result is a PNG of up to 64 megapixels, which compresses badly where there is grain.
_MAX_RECEIVED_BYTES = 256 * _MEBIBYTE
_READY_SECONDS = 2.0

_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", _MAX_SENT_BYTES),
    ("grpc.max_receive_message_length", _MAX_RECEIVED_BYTES),
    # The default waits up to two minutes before it looks for a server that was down.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # With a headless service every Triton has an address of its own; the default would pin us to the first.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    # The pool that channels share outlives a fork: a child's new channel would be given its parent's connection.
    ("grpc.use_local_subchannel_pool", 1),
)

# Triton's own words, since a stream carries no status for each answer: the queue is full, the request waited in it too
# long, the server is going, the model's process is gone, the model is being loaded.
_OUTAGES = (
    "Exceeds maximum queue size",
    "Request timeout expired",
    "Server is stopping",
    "is not healthy",
    "has no available versions",
    "is not at ready state",
)


class TritonInferenceClient:
    """
    An InferenceClient for the Triton at url ("host:port" of its gRPC endpoint).

    The channel is built at the first call, and once more in a forked child: one that its parent has used would hang.
    wrap: what is put around it, to watch its calls.
    """

    def __init__(self, url: str, *, wrap: Callable[[grpc.Channel], grpc.Channel] = lambda channel: channel) -> None:
        self._url = url
        self._wrap = wrap
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._owner = 0

    def infer(
        self,
        request: InferenceRequest,
        *,
        timeout: float,
        on_progress: Callable[[Progress], None],
        cancellation: Cancellation,
    ) -> InferenceResult:
        if cancellation.cancelled:
            raise InferenceCancelled("The call was cancelled before it began.")
        metadata = (("traceparent", request.traceparent),) if request.traceparent else ()
        call = self._stub().ModelStreamInfer(iter([tensors.encode(request)]), timeout=timeout, metadata=metadata)
        forget = cancellation.on_cancel(call.cancel)
        try:
            return _Conversation(call, on_progress, cancellation).result()
        finally:
            forget()
            # The model learns that nobody listens; after a complete answer this does nothing.
            call.cancel()

    def ready(self, model: str) -> bool:
        try:
            answer = self._stub().ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=_READY_SECONDS)
        except grpc.RpcError:
            return False
        return bool(answer.ready)

    def close(self) -> None:
        with self._lock:
            channel, self._channel = self._channel, None
        if channel and self._owner == os.getpid():
            channel.close()

    def _stub(self) -> service_pb2_grpc.GRPCInferenceServiceStub:
        with self._lock:
            if self._channel is None or self._owner != os.getpid():
                self._channel = self._wrap(grpc.insecure_channel(self._url, options=_CHANNEL_OPTIONS))
                self._owner = os.getpid()
            return service_pb2_grpc.GRPCInferenceServiceStub(self._channel)


class _Conversation:
    """One call: its answers read to the end, and what went wrong told in our own errors."""

    def __init__(
        self,
        call: "CallIterator[service_pb2.ModelStreamInferResponse]",
        on_progress: Callable[[Progress], None],
        cancellation: Cancellation,
    ) -> None:
        self._call = call
        self._on_progress = on_progress
        self._cancellation = cancellation
        self._started = False
        self._outcome: InferenceResult | InferenceError | None = None

    def result(self) -> InferenceResult:
        # To the end, also behind the outcome: Triton never lets go of a stream that is cancelled while it closes.
        for answer in self._answers():
            self._take(answer)
        if self._outcome is None:
            raise InferenceBroken("The model ended its answer without a result.")
        if isinstance(self._outcome, InferenceError):
            raise self._outcome
        return self._outcome

    def _answers(self) -> Iterator[service_pb2.ModelStreamInferResponse]:
        try:
            yield from self._call
        except grpc.RpcError as error:
            # A stream that breaks behind its outcome has still delivered it.
            if self._outcome is None:
                raise self._from_status() from error

    def _take(self, answer: service_pb2.ModelStreamInferResponse) -> None:
        if answer.error_message:
            self._outcome = self._from_message(answer.error_message)
            return
        content = tensors.decode(answer.infer_response)
        self._started = True
        if isinstance(content, InferenceResult):
            self._outcome = content
            return
        self._on_progress(content)

    def _from_message(self, message: str) -> InferenceError:
        if any(words in message for words in _OUTAGES):
            return InferenceUnavailable(f"Triton cannot take the request: {message}", started=self._started)
        refusal = tensors.refusal(message)
        if refusal is None:
            return InferenceBroken(f"The model failed: {message}")
        if refusal.code != tensors.CANCELLED:
            return refusal
        if self._cancellation.cancelled:
            return InferenceCancelled("The call was cancelled.")
        return InferenceUnavailable("The model stopped, and not because we asked.", started=self._started)

    def _from_status(self) -> InferenceError:
        code, details = self._call.code(), self._call.details()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return InferenceTimeout("The model did not finish in time.")
        if code is grpc.StatusCode.CANCELLED and self._cancellation.cancelled:
            return InferenceCancelled("The call was cancelled.")
        if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
            return InferenceUnavailable(f"Triton does not answer: {details}", started=self._started)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return InferenceRefused("image_too_large", f"The file is too large to send or to fetch: {details}")
        return InferenceBroken(f"Triton answered {code.name}: {details}")
