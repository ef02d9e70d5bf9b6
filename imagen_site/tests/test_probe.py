"""The probe of a web container."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagen_site import probe
from tests.running_site import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


class Answer(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), type("OwnAnswer", (Answer,), {})) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class TestTheProbe:
    def test_has_nothing_to_say_of_a_server_that_answers(self, server: HTTPServer) -> None:
        assert probe.complaint(server.server_port) == ""

    def test_says_what_a_server_answers_that_is_not_well(self, server: HTTPServer) -> None:
        server.RequestHandlerClass.status = 503  # type: ignore[attr-defined]

        assert probe.complaint(server.server_port) == "The site answers /livez with 503."

    def test_says_that_nobody_answers(self) -> None:
        port = free_port()

        assert f"does not answer on port {port}" in probe.complaint(port)

    def test_runs_without_anything_of_ours(self) -> None:
        port = free_port()
        script = Path(probe.__file__).resolve()

        done = subprocess.run(
            [sys.executable, "-I", str(script)], env={"PORT": str(port)}, capture_output=True, text=True, check=False
        )

        assert done.returncode == 1
        assert done.stderr.startswith(f"The site does not answer on port {port}")
