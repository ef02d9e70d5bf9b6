"""
One id for a request and all that follows from it, in whichever process: W3C Trace Context.

Every log line carries it as `trace_id`; messages and calls pass it on as `traceparent`. It needs no OpenTelemetry;
where that runs, its spans are the ones that are named here (`follow`).
"""

from __future__ import annotations

import re
import secrets
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TRACEPARENT = "traceparent"
# What Google's front ends send beside it, or did before it was a standard: TRACE_ID/SPAN_ID;o=OPTIONS.
CLOUD_TRACE = "X-Cloud-Trace-Context"

# https://www.w3.org/TR/trace-context/#traceparent-header; later versions may add fields behind these four.
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-\S{0,200})?"
)
_CLOUD_TRACE = re.compile(r"(?P<trace>[0-9a-f]{32})(?:/(?P<span>[0-9]{1,20}))?(?:;o=(?P<options>[0-9]))?")
_SAMPLED = 1


@dataclass(frozen=True)
class TraceContext:
    """A place in a trace. Both ids are lower-case hexadecimal, of 32 and 16 digits, and never all zero."""

    trace_id: str
    span_id: str
    # Whether whoever records traces is asked to record this one.
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def child(self) -> TraceContext:
        return replace(self, span_id=secrets.token_hex(8))


_current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)
_recorded: Callable[[], TraceContext | None] = lambda: None  # noqa: E731 - replaced by `follow`


def follow(recorded: Callable[[], TraceContext | None]) -> None:
    """Let somebody who records spans say which one is the present one."""
    global _recorded  # noqa: PLW0603 - decided once, when the process starts
    _recorded = recorded


def current() -> TraceContext | None:
    return _recorded() or _current.get()


def begin() -> TraceContext:
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8))


def parse(traceparent: str) -> TraceContext | None:
    """Return the context that a `traceparent` names, None unless it is one to the letter: anybody may have sent it."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    return _valid(found["trace"], found["span"], sampled=bool(int(found["flags"], 16) & _SAMPLED))


def parse_cloud_trace(header: str) -> TraceContext | None:
    found = _CLOUD_TRACE.fullmatch(header)
    if found is None or int(found["span"] or 0) >= 2**64:
        return None
    span_id = f"{int(found['span'] or 0):016x}"
    # The span may be left out; who passes the trace on makes one of their own anyway.
    return _valid(
        found["trace"], span_id if int(span_id, 16) else secrets.token_hex(8), sampled=found["options"] == "1"
    )


def _valid(trace_id: str, span_id: str, *, sampled: bool) -> TraceContext | None:
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, sampled)


def sent_with(headers: Mapping[str, str]) -> TraceContext | None:
    """Return the context that a request or a message came with."""
    return parse(headers.get(TRACEPARENT) or "") or parse_cloud_trace(headers.get(CLOUD_TRACE) or "")


@contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[TraceContext]:
    """Be one step of the trace that these headers name, or of a new one, while the block runs."""
    sender, recorded = sent_with(headers), _recorded()
    if recorded is not None and (sender is None or sender.trace_id == recorded.trace_id):
        step = recorded
    else:
        # Also where a span is recorded that belongs to another trace: that of a push, around what was pushed.
        step = sender.child() if sender else begin()
    with _bound(step):
        yield step


@contextmanager
def begun() -> Iterator[TraceContext]:
    """Begin a trace of its own for the block, whatever is going on around it."""
    with _bound(begin()) as context:
        yield context


@contextmanager
def _bound(context: TraceContext) -> Iterator[TraceContext]:
    token = _current.set(context)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=context.trace_id, span_id=context.span_id):
            yield context
    finally:
        _current.reset(token)
