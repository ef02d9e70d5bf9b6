"""
A real Triton for the tests that need one, started once for the session, and a client of it.

Such tests are marked `triton` and `xdist_group("triton")`: in one worker of pytest-xdist they share one server. A few are
in the group "looks" instead, with one of their own, so that both workers have as much to do.
"""

import subprocess
from collections.abc import Iterator

import pytest

from inference.triton_client import TritonInferenceClient
from triton_models.local_triton import LocalTriton
from triton_models.server_command import REPOSITORY
from triton_models.server_wheel import PROJECT_ROOT, LocalServerError

# Named here for the tests of packages that must not import the model server.
__all__ = ["PYTHON", "SLEEPERS", "LocalTriton", "triton", "triton_client", "triton_server"]

PYTHON = PROJECT_ROOT / ".venv-models/bin/python"
SLEEPERS = PROJECT_ROOT / "tests/triton/repository"


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTriton]:
    _fetch_weights()
    server = LocalTriton(
        python=PYTHON,
        log=tmp_path_factory.mktemp("triton") / "triton.log",
        repositories=[REPOSITORY, SLEEPERS],
        environment={"IMAGEN_ENGINE_CONCURRENCY": "2"},
    )
    try:
        server.start()
    except LocalServerError as error:
        _do_without(str(error))
    yield server
    server.stop()


@pytest.fixture
def triton(triton_server: LocalTriton) -> LocalTriton:
    """The server, running; a test may kill, stop or restart it, the next one finds it running again."""
    if not triton_server.is_ready():
        triton_server.restart()
    return triton_server


@pytest.fixture
def triton_client(triton: LocalTriton) -> Iterator[TritonInferenceClient]:
    client = TritonInferenceClient(triton.grpc_url)
    yield client
    client.close()


def _fetch_weights() -> None:
    if not PYTHON.exists():
        _do_without("there is no .venv-models")
    command = [str(PYTHON), "-m", "triton_models", "fetch"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        _do_without(done.stderr.strip())


def _do_without(reason: str) -> None:
    # On a machine that lacks what it takes; on CI tests/no_skips.py makes a failure of this.
    pytest.skip(f"No Triton here: {reason}")
