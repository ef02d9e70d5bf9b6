from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from django.test import Client

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(autouse=True)
def _logging_is_set_up() -> None:
    # Importing it sets up logging, which would end a capture.
    importlib.import_module("imagen_site.asgi")


def lines_of(client: Client, **headers: str) -> list[MutableMapping[str, Any]]:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        client.get("/livez", headers={name.replace("_", "-"): value for name, value in headers.items()})
    return lines


class TestARequest:
    def test_logs_under_the_trace_that_it_came_with(self, client: Client) -> None:
        lines = lines_of(client, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")

        assert [line["event"] for line in lines] == ["request_started", "request_finished"]
        assert {line["trace_id"] for line in lines} == {TRACE}
        assert len({line["span_id"] for line in lines}) == 1

    def test_of_cloud_runs_front_end_does_so_too(self, client: Client) -> None:
        assert {line["trace_id"] for line in lines_of(client, X_Cloud_Trace_Context=f"{TRACE}/123;o=1")} == {TRACE}

    def test_without_one_begins_one_and_leaves_none_behind(self, client: Client) -> None:
        first, second = lines_of(client), lines_of(client)

        assert first[0]["trace_id"] != second[0]["trace_id"]
        assert "trace_id" not in structlog.contextvars.get_contextvars()

    @pytest.mark.parametrize("name", ["traceparent", "X_Cloud_Trace_Context", "X_Request_ID", "X_Correlation_ID"])
    @pytest.mark.parametrize("text", ['evil", "level": "critical', "x" * 5000, f"00-{TRACE}-evil-01 evil"])
    def test_writes_nothing_of_a_strangers_into_the_log(self, client: Client, name: str, text: str) -> None:
        lines = lines_of(client, **{name: text})

        assert text[:20] not in str(lines)
        assert all(line["request_id"] and line["trace_id"] for line in lines)

    def test_keeps_the_id_that_its_sender_knows_it_by(self, client: Client) -> None:
        assert {line["request_id"] for line in lines_of(client, X_Request_ID="req-1.a_b")} == {"req-1.a_b"}
