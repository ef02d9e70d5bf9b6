"""What Kubernetes and Docker are told about a Triton that is well, and about one that only says so."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.triton_fixtures import PYTHON
from triton_models.local_server import Ports
from triton_models.local_triton import LocalTriton
from triton_models.server_wheel import PROJECT_ROOT

pytestmark = [pytest.mark.triton, pytest.mark.xdist_group("triton")]


def probe(question: str, port: int, *arguments: str) -> tuple[int, str]:
    command = [str(PYTHON), "-m", "triton_models.probe", question, f"--http-port={port}", *arguments]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, done.stderr


def without_guards(server: LocalTriton) -> None:
    """Kill what would stop the server when one of its models is killed, as a cluster's out-of-memory killer may."""
    for model in server.children():
        for guard in Path(f"/proc/{model}/task/{model}/children").read_text().split():
            os.kill(int(guard), signal.SIGKILL)


class TestTheProbe:
    def test_finds_a_server_well_that_is(self, triton: LocalTriton) -> None:
        assert probe("live", triton.ports.http) == (0, "")
        assert probe("ready", triton.ports.http) == (0, "")

    def test_names_the_model_that_is_not_there(self, triton: LocalTriton) -> None:
        code, why = probe("ready", triton.ports.http, "--models=upscale,nonesuch")

        assert code == 1
        assert why == "Triton answers /v2/models/nonesuch/ready with 400.\n"

    def test_says_that_nobody_answers(self) -> None:
        port = Ports.free().http

        code, why = probe("live", port)

        assert code == 1
        assert why.startswith(f"Triton does not answer on port {port}: ")

    def test_says_so_when_a_server_no_longer_answers(self, triton: LocalTriton) -> None:
        triton.pause()
        try:
            code, why = probe("live", triton.ports.http)
        finally:
            triton.resume()

        assert code == 1
        assert "timed out" in why

    def test_knows_of_a_killed_model_although_triton_says_that_it_is_ready(self, triton: LocalTriton) -> None:
        without_guards(triton)
        os.kill(triton.children()[0], signal.SIGKILL)
        time.sleep(0.2)
        believed = triton.is_ready()

        told = probe("live", triton.ports.http)
        not_ready, _ = probe("ready", triton.ports.http)
        triton.kill()

        assert believed
        assert told == (1, "1 of the models' processes were killed; Triton never starts one anew.\n")
        assert not_ready == 1
