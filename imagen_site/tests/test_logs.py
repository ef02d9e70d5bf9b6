import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from imagen_site import logs


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture(autouse=True)
def json_logs(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    # After capsys: a handler keeps the standard error that it found.
    root = logging.getLogger()
    before = root.handlers[:]
    logs.configure(logs.logging_settings(level="INFO"))
    yield
    root.handlers[:] = before


class TestALogLine:
    def test_is_json_with_its_fields_beside_a_constant_event(self, capsys: pytest.CaptureFixture[str]) -> None:
        structlog.get_logger("jobs.tests").info("job_accepted", job_id="1")

        (line,) = lines(capsys)
        assert (line["event"], line["job_id"], line["level"]) == ("job_accepted", "1", "info")

    def test_of_a_library_is_json_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        logging.getLogger("some.library").warning("about %s", "this")

        (line,) = lines(capsys)
        assert line["event"] == "about this"

    def test_carries_no_signed_link_and_no_api_key(self, capsys: pytest.CaptureFixture[str]) -> None:
        log = structlog.get_logger("jobs.tests")
        log.info("request_started", request="GET /files/.eJxVzDsS:1xVm:LMLGu1?x=1", key="img_live_abc_secretsecret")
        try:
            int("img_test_abc_secretsecret")
        except ValueError:
            log.exception("broke")

        written = json.dumps(lines(capsys))
        assert "/files/[redacted]" in written
        assert "eJxVzDsS" not in written
        assert "secretsecret" not in written
