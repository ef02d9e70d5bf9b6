from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from jobs import trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class TestATraceparent:
    def test_names_a_trace_a_span_and_whether_it_is_recorded(self) -> None:
        assert trace.parse(f"00-{TRACE}-{SPAN}-01") == trace.TraceContext(TRACE, SPAN, sampled=True)
        assert trace.parse(f"00-{TRACE}-{SPAN}-00") == trace.TraceContext(TRACE, SPAN, sampled=False)

    def test_is_written_as_it_is_read(self) -> None:
        assert trace.TraceContext(TRACE, SPAN).traceparent == f"00-{TRACE}-{SPAN}-01"

    def test_of_a_later_version_may_have_more_fields(self) -> None:
        assert trace.parse(f"01-{TRACE}-{SPAN}-01-more") is not None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "None",
            f"00-{TRACE}-{SPAN}",
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"ff-{TRACE}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-01-more",
            f"01-{TRACE}-{SPAN}-01-{'x' * 300}",
            f"00-{TRACE}-{SPAN}-01\n",
            f'00-{TRACE[:-1]}"-{SPAN}-01',
            f"00-{TRACE[:-1]}٣-{SPAN}-01",
        ],
    )
    def test_that_is_not_one_to_the_letter_is_none(self, text: str) -> None:
        assert trace.parse(text) is None


class TestACloudTraceHeader:
    def test_names_the_same_with_the_span_in_decimals(self) -> None:
        sent = trace.parse_cloud_trace(f"{TRACE}/{int(SPAN, 16)};o=1")

        assert sent == trace.TraceContext(TRACE, SPAN, sampled=True)

    def test_may_leave_the_span_out(self) -> None:
        sent = trace.parse_cloud_trace(TRACE)

        assert sent is not None
        assert (sent.trace_id, sent.sampled) == (TRACE, False)
        assert int(sent.span_id, 16)

    @pytest.mark.parametrize("text", [f"{TRACE}/{2**64}", f"{TRACE}/x", f"{'0' * 32}/1", f"{TRACE}/1;o=1;", "x" * 500])
    def test_that_is_none_is_none(self, text: str) -> None:
        assert trace.parse_cloud_trace(text) is None

    def test_counts_only_where_there_is_no_traceparent(self) -> None:
        both = {"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Cloud-Trace-Context": f"{'b' * 32}/1"}

        assert trace.sent_with(both) == trace.TraceContext(TRACE, SPAN)
        assert trace.sent_with({"X-Cloud-Trace-Context": f"{'b' * 32}/1"}) == trace.TraceContext(
            "b" * 32, "0" * 15 + "1", sampled=False
        )


class TestATrace:
    def test_goes_on_with_a_step_of_its_own(self) -> None:
        with trace.continued({"traceparent": f"00-{TRACE}-{SPAN}-01"}) as step:
            assert trace.current() == step

        assert step.trace_id == TRACE
        assert step.span_id != SPAN
        assert trace.current() is None

    def test_begins_where_nobody_sent_one(self) -> None:
        with trace.continued({}) as first, trace.continued({"traceparent": "nonsense"}) as second:
            assert first.trace_id != second.trace_id

        assert trace.parse(first.traceparent) == first

    def test_is_in_every_line(self) -> None:
        with (
            capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines,
            trace.continued({"traceparent": f"00-{TRACE}-{SPAN}-01"}) as step,
        ):
            structlog.get_logger("jobs.tests").info("something")

        (line,) = lines
        assert (line["trace_id"], line["span_id"]) == (TRACE, step.span_id)

    def test_is_the_recorders_where_spans_of_it_are_recorded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        span = trace.TraceContext(TRACE, "b" * 16)
        monkeypatch.setattr(trace, "_recorded", lambda: span)

        with trace.continued({"traceparent": f"00-{TRACE}-{SPAN}-01"}) as sent, trace.continued({}) as none:
            assert sent == none == trace.current() == span

    def test_of_a_message_is_its_own_inside_a_push_that_is_recorded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(trace, "_recorded", lambda: trace.TraceContext("a" * 32, "b" * 16))

        with trace.continued({"traceparent": f"00-{TRACE}-{SPAN}-01"}):
            assert structlog.contextvars.get_contextvars()["trace_id"] == TRACE
