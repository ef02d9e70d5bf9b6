"""
Spans to an OpenTelemetry collector. Imported only where one is configured: without it, none of its libraries is loaded.

What is sent is chosen by name and not by what looks secret: addresses (ours carry signatures), headers, prompts and the
texts of exceptions stay here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import propagate
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.propagators import textmap
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from jobs import trace
from jobs.trace import TraceContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django.http import HttpRequest, HttpResponse

_KEPT = frozenset(
    {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "messaging.destination",
        "messaging.message.id",
        "celery.action",
        "celery.task_name",
        "celery.state",
        "rpc.system",
        "rpc.service",
        "rpc.method",
        "rpc.grpc.status_code",
        "imagen.job_id",
        "imagen.operation",
        "imagen.attempt",
        "imagen.status",
        "imagen.error_code",
        "imagen.released_by",
        "exception.type",
    }
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds by whoever keeps the process alive, and of interest to nobody else.
_PROBES = frozenset({"/livez", "/readyz"})

# What a collector that is away may cost a worker, which has 12 seconds to stop: with the library's own patience it was
# 15 before the last spans were given up.
_EXPORT_SECONDS = 2.0

_tracer = otel.get_tracer(__name__)


def start(service: str) -> None:
    """
    Record and send this process's spans, as those of "web", "webhooks" or "worker".

    OpenTelemetry's libraries read where to send them, and how, from their own OTEL_ variables.
    """
    resource = Resource.create({SERVICE_NAMESPACE: "imagen", SERVICE_NAME: service})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(DiscreetExporter(OTLPSpanExporter(timeout=_EXPORT_SECONDS))))
    otel.set_tracer_provider(provider)
    propagate.set_global_textmap(TraceparentPropagator())
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]
    trace.follow(present_span)


def present_span() -> TraceContext | None:
    span = otel.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return TraceContext(f"{span.trace_id:032x}", f"{span.span_id:016x}", span.trace_flags.sampled)


class SpanMiddleware:
    """
    A span for each request, under its route.

    Django's own instrumentation would keep the whole address of each, and does nothing under ASGI without another one.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path in _PROBES:
            return self._get_response(request)
        method = request.method if request.method in _METHODS else "_OTHER"
        with _tracer.start_as_current_span(
            str(method), _as_parent(trace.sent_with(request.headers)), kind=SpanKind.SERVER
        ) as span:
            response = self._get_response(request)
            if request.resolver_match:
                span.update_name(f"{method} {request.resolver_match.route}")
                span.set_attribute("http.route", request.resolver_match.route)
            span.set_attribute("http.request.method", str(method))
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                span.set_status(Status(StatusCode.ERROR))
            return response


class TraceparentPropagator(textmap.TextMapPropagator):
    """`traceparent` and nothing else: no `baggage` or `tracestate` of a stranger's is carried through our queues."""

    def extract(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        getter: textmap.Getter[textmap.CarrierT] = textmap.default_getter,
    ) -> Context:
        (header,) = getter.get(carrier, trace.TRACEPARENT) or [""]
        return _as_parent(trace.parse(header), context)

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        span = otel.get_current_span(context).get_span_context()
        if span.is_valid:
            ours = TraceContext(f"{span.trace_id:032x}", f"{span.span_id:016x}", span.trace_flags.sampled)
            setter.set(carrier, trace.TRACEPARENT, ours.traceparent)

    @property
    def fields(self) -> set[str]:
        return {trace.TRACEPARENT}


def _as_parent(sender: TraceContext | None, context: Context | None = None) -> Context:
    if sender is None:
        return context or Context()
    flags = TraceFlags(TraceFlags.SAMPLED if sender.sampled else TraceFlags.DEFAULT)
    span = SpanContext(int(sender.trace_id, 16), int(sender.span_id, 16), is_remote=True, trace_flags=flags)
    return otel.set_span_in_context(NonRecordingSpan(span), context)


class DiscreetExporter(SpanExporter):
    """Sends spans on with what is named in _KEPT, whatever a library has noted beside it."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._inner.export([_discreet(span) for span in spans])

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def _discreet(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=_kept(span.attributes),
        events=[Event(event.name, _kept(event.attributes), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        # Its description is the text of an exception.
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _kept(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name in _KEPT}
