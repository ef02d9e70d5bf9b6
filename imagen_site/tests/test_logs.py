import io
import json
import logging
import logging.config
from collections.abc import Iterator

import pytest
import structlog
from django.test import RequestFactory

from imagen_site import logs
from jobs import trace


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the site's own handler and formatter write during the test."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.configure(logs.logging_settings(level="INFO"))
    written = io.StringIO()
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    yield written
    root.handlers[:] = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class TestALogLine:
    def test_is_json_with_its_fields_beside_a_constant_event(self, stream: io.StringIO) -> None:
        structlog.get_logger("jobs.tests").info("job_accepted", job_id="1")

        (line,) = lines(stream)
        assert (line["event"], line["job_id"], line["level"]) == ("job_accepted", "1", "info")

    def test_names_its_trace_as_cloud_logging_wants_it(self, stream: io.StringIO) -> None:
        logs.configure(logs.logging_settings(level="INFO", project="photos-1"))
        (handler,) = logging.getLogger().handlers
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(stream)

        with trace.begun() as step:
            structlog.get_logger("jobs.tests").warning("job_lost", job_id="1")
        logging.getLogger("some.library").error("broke")

        ours, theirs = lines(stream)
        assert ours["logging.googleapis.com/trace"] == f"projects/photos-1/traces/{step.trace_id}"
        assert ours["logging.googleapis.com/spanId"] == step.span_id
        assert (ours["severity"], ours["message"], ours["event"]) == ("WARNING", "job_lost", "job_lost")
        assert (theirs["severity"], "logging.googleapis.com/trace" in theirs) == ("ERROR", False)

    def test_of_a_library_is_json_too(self, stream: io.StringIO) -> None:
        logging.getLogger("some.library").warning("about %s", "this")

        (line,) = lines(stream)
        assert line["event"] == "about this"

    def test_carries_no_signed_link_and_no_api_key(self, stream: io.StringIO) -> None:
        log = structlog.get_logger("jobs.tests")
        log.info("request_started", request="GET /files/.eJxVzDsS:1xVm:LMLGu1?x=1", key="img_live_abc_secretsecret")
        try:
            int("img_test_abc_secretsecret")
        except ValueError:
            log.exception("broke")

        written = stream.getvalue()
        assert "/files/[redacted]" in written
        assert "eJxVzDsS" not in written
        assert "secretsecret" not in written

    def test_carries_no_token_and_no_signature_of_an_address(self, stream: io.StringIO) -> None:
        log = structlog.get_logger("jobs.tests")
        log.info("request_started", request="POST /push/sweep?token=SECRET-1")
        log.info("fetched", address="https://storage.googleapis.com/b/o?X-Goog-Date=1&X-Goog-Signature=SECRET2&size=3")

        assert "SECRET" not in stream.getvalue()
        assert "X-Goog-Date=1&X-Goog-Signature=[redacted]&size=3" in stream.getvalue()

    def test_hides_them_in_whatever_is_not_text_too(self, stream: io.StringIO, rf: RequestFactory) -> None:
        logging.getLogger("django.request").warning(
            "Forbidden: %s", "/files/x", extra={"request": rf.post("/files/.eJwtSECRET:1x")}
        )
        structlog.get_logger("jobs.tests").info("some", nested={"links": ["/files/.eJwtSECRET:1x"], "count": 3})
        structlog.get_logger("jobs.tests").info("request_started", request="POST /push/job-events?token=SECRET")

        assert "SECRET" not in stream.getvalue()
        assert lines(stream)[1]["nested"] == {"links": ["/files/[redacted]"], "count": 3}
