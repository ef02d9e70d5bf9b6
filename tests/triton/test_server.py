"""The life and death of a Triton that runs as a child process."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from inference.client import Cancellation, InferenceRequest, InferenceResult, Progress
from inference.errors import InferenceError, InferenceRefused, InferenceUnavailable
from inference.triton_client import TritonInferenceClient
from tests.triton_fixtures import PYTHON, SLEEPERS
from triton_models import container
from triton_models.engines import OPERATIONS
from triton_models.local_server import Ports
from triton_models.local_triton import LocalTriton
from triton_models.server_wheel import PROJECT_ROOT

pytestmark = [pytest.mark.triton, pytest.mark.xdist_group("triton")]

A_PROCESS_EACH = len(OPERATIONS) + len(list(SLEEPERS.iterdir()))
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton's backend puts its regions


def infer(client: TritonInferenceClient, *, begun: threading.Event | None = None, **options: object) -> InferenceResult:
    def on_progress(_: Progress) -> None:
        if begun:
            begun.set()

    request = InferenceRequest(model="sleeper", image=b"abc", request_id="test", options=options)
    return client.infer(request, timeout=60, on_progress=on_progress, cancellation=Cancellation())


def occupy(client: TritonInferenceClient, threads: ThreadPoolExecutor, **options: object) -> Future[InferenceResult]:
    """Begin a call that would last for half a minute, and wait until it has begun."""
    begun = threading.Event()
    call = threads.submit(infer, client, begun=begun, **{"steps": 300, "step_seconds": 0.1, **options})
    assert begun.wait(10)
    return call


def comes_true(condition: Callable[[], bool], *, within: float) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def all_gone(processes: Sequence[int]) -> bool:
    return not any(Path(f"/proc/{process}").exists() for process in processes)


def regions_of(server: LocalTriton) -> list[Path]:
    command = Path(f"/proc/{server.pid}/cmdline").read_text()
    token = command.split("shm-region-prefix-name=")[1].split("\0")[0]
    return [*SHARED_MEMORY.glob(f"{token}*")]


def launch(*arguments: str, python: Path = PYTHON, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher where it should refuse."""
    command = [str(python), "-m", "triton_models.local_server", *arguments]
    return subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def on(ports: Ports) -> list[str]:
    return [f"--{name}-port={port}" for name, port in vars(ports).items()]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class TestKilledServer:
    def test_leaves_no_child_behind(
        self, triton: LocalTriton, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        children = triton.children()
        calls = [occupy(triton_client, threads) for _ in range(2)]

        triton.kill()

        assert len(children) == A_PROCESS_EACH
        assert comes_true(lambda: all_gone(children), within=5)
        assert {type(call.exception()) for call in calls} == {InferenceUnavailable}

    def test_leaves_no_shared_memory_once_another_has_started(self, triton: LocalTriton) -> None:
        children, regions = triton.children(), regions_of(triton)
        triton.kill()
        assert comes_true(lambda: all_gone(children), within=5)

        triton.start()

        assert len(regions) == A_PROCESS_EACH
        assert not any(region.exists() for region in regions)


class TestStoppedServer:
    def test_leaves_neither_child_nor_shared_memory(self, triton: LocalTriton) -> None:
        children, regions = triton.children(), regions_of(triton)

        triton.stop()

        assert all_gone(children)
        assert not any(region.exists() for region in regions)

    def test_waits_for_nothing_once_all_requests_are_answered(
        self, triton: LocalTriton, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        def answer(number: int) -> type:
            try:
                return type(infer(triton_client, steps=0, fail="refuse" if number % 3 else ""))
            except InferenceError as error:
                return type(error)

        assert set(threads.map(answer, range(150))) == {InferenceResult, InferenceRefused}
        triton.stop()

        last_run = triton.log_text().rpartition("Started Metrics Service")[2]
        assert "Exit timeout expired" not in last_run

    def test_lets_go_of_a_request_that_never_ends(
        self, triton: LocalTriton, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        children = triton.children()
        call = occupy(triton_client, threads)
        started = time.monotonic()

        triton.stop(limit=2)

        assert time.monotonic() - started < 4
        assert comes_true(lambda: all_gone(children), within=2)
        assert isinstance(call.exception(), InferenceUnavailable)


class TestKilledModel:
    def test_takes_the_server_with_it_so_that_it_is_started_anew(
        self, triton: LocalTriton, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        server = triton.pid
        call = occupy(triton_client, threads, steps=1, step_seconds=0.3, fail="crash")

        lost = call.exception(timeout=15)

        assert isinstance(lost, InferenceUnavailable)
        assert lost.started
        assert comes_true(lambda: is_over(server), within=10)
        assert "A model's process was killed" in triton.log_text()


class TestServer:
    def test_ends_with_the_process_that_started_it(self, tmp_path: Path) -> None:
        script = f"""
import time
from pathlib import Path
from triton_models.local_triton import LocalTriton

server = LocalTriton(python=Path("{PYTHON}"), log=Path("{tmp_path}/log"), repositories=[Path("{SLEEPERS}")])
server.start()
print(server.pid, *server.children(), flush=True)
time.sleep(60)
"""
        parent = subprocess.Popen([sys.executable, "-c", script], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
        with parent:
            processes = [int(word) for word in parent.stdout.readline().split()]

            parent.send_signal(signal.SIGKILL)

        assert len(processes) == 3
        assert comes_true(lambda: all_gone(processes), within=10)

    def test_serves_only_the_models_that_were_asked_for(self, tmp_path: Path) -> None:
        server = LocalTriton(
            python=PYTHON, log=tmp_path / "log", repositories=[SLEEPERS], models=["narrow"], environment={}
        )
        client = TritonInferenceClient(server.grpc_url)

        with server:
            ready = client.ready("narrow"), client.ready("sleeper")

        client.close()
        assert ready == (True, False)


class TestTheContainersArguments:
    def test_are_understood_by_a_real_tritonserver(self, triton: LocalTriton, tmp_path: Path) -> None:
        program = Path(f"/proc/{triton.pid}/exe").resolve()
        arguments = container.command(["upscale"], [f"--model-repository={tmp_path / 'nothing'}"])[1:]
        environment = dict(
            line.split("=", 1) for line in Path(f"/proc/{triton.pid}/environ").read_text().split("\0") if "=" in line
        )

        done = subprocess.run(
            [str(program), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

        # It came as far as looking for models; an argument that it does not know ends it before, with its usage.
        assert "failed to stat file" in done.stderr
        assert "Usage" not in done.stdout + done.stderr


class TestLauncher:
    def test_refuses_a_port_that_is_taken(self, triton: LocalTriton) -> None:
        done = launch(*on(triton.ports))

        assert done.returncode == 1
        assert done.stderr == (
            f"Port {triton.ports.http} is in use; is another Triton running? Stop it or pass --http-port.\n"
        )

    def test_refuses_to_serve_without_weights_and_says_how_to_get_them(self, tmp_path: Path) -> None:
        done = launch(*on(Ports.free()), IMAGEN_MODELS_DIR=str(tmp_path))

        assert done.returncode == 1
        assert "python -m triton_models fetch" in done.stderr

    def test_refuses_an_interpreter_whose_numpy_the_backend_misreads(self) -> None:
        done = launch(*on(Ports.free()), python=Path(sys.executable))

        assert done.returncode == 1
        assert "needs numpy < 2" in done.stderr

    def test_refuses_a_model_that_it_does_not_have(self) -> None:
        done = launch(*on(Ports.free()), "--models=upscale,nonesuch")

        assert done.returncode == 1
        known = ", ".join(sorted(OPERATIONS))
        assert done.stderr == f"No repository has a model named nonesuch; there are: {known}.\n"


def is_over(process: int) -> bool:
    """Say whether a process has ended, waited for or not."""
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rsplit(") ", 1)[1].startswith("Z")
