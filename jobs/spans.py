"""A worker's job as OpenTelemetry spans. Imported only where they are sent somewhere (imagen_site/telemetry.py)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.instrumentation.grpc import client_interceptor, filters
from opentelemetry.instrumentation.grpc.grpcext import intercept_channel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    import grpc

    from jobs.observer import RunnerObserver
    from jobs.states import JobState, Stage

_tracer = trace.get_tracer(__name__)


class RunnerSpans:
    """A RunnerObserver that makes each stage a span inside the task's own, and tells another observer all the same."""

    def __init__(self, beside: RunnerObserver) -> None:
        self._beside = beside

    def claimed(self, before: JobState, claimed: JobState) -> None:
        self._beside.claimed(before, claimed)
        trace.get_current_span().set_attributes(
            {
                "imagen.job_id": str(claimed.job_id),
                "imagen.operation": claimed.operation,
                "imagen.attempt": claimed.attempt,
            }
        )

    def working(self, claimed: JobState) -> AbstractContextManager[object]:
        return self._beside.working(claimed)

    @contextmanager
    def stage(self, state: JobState, stage: Stage) -> Iterator[None]:
        attributes = {"imagen.job_id": str(state.job_id), "imagen.operation": state.operation}
        with (
            _tracer.start_as_current_span(f"job {stage.value}", attributes=attributes),
            self._beside.stage(state, stage),
        ):
            yield

    def retried(self, part: str) -> None:
        self._beside.retried(part)
        trace.get_current_span().add_event(f"{part} away")

    def released(self, state: JobState, reason: str) -> None:
        self._beside.released(state, reason)
        trace.get_current_span().set_attribute("imagen.released_by", reason)

    def ended(self, state: JobState) -> None:
        self._beside.ended(state)
        trace.get_current_span().set_attributes(
            {"imagen.status": state.status.value, "imagen.error_code": state.error_code}
        )


def traced(channel: grpc.Channel) -> grpc.Channel:
    """Return the channel with a span for each inference, and for nothing else: probes ask for readiness all day."""
    inference = client_interceptor(filter_=filters.method_name("ModelStreamInfer"))  # type: ignore[no-untyped-call]
    wrapped: grpc.Channel = intercept_channel(channel, inference)  # type: ignore[no-untyped-call]
    return wrapped
