"""The local Triton as an object for tests and benchmarks: start, wait, stop, and the accidents that can befall it."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from triton_models.local_server import Ports
from triton_models.server_command import REPOSITORY
from triton_models.server_wheel import PROJECT_ROOT, LocalServerError

_POLL_SECONDS = 0.05
_HTTP_SECONDS = 3
_LOG_LINES = 30


@dataclass
class LocalTriton:
    """
    A Triton in a process group of its own, which also ends when the process that started it does.

    python: the interpreter of the model server (numpy < 2), which need not be this one. log: where the server's own
    words go. models: which to serve, all of the repositories' when empty. environment: added to this process's own.
    """

    python: Path
    log: Path
    repositories: Sequence[Path] = (REPOSITORY,)
    models: Sequence[str] = ()
    ports: Ports = field(default_factory=Ports.free)
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def grpc_url(self) -> str:
        return f"127.0.0.1:{self.ports.grpc}"

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self, *, timeout: float = 120) -> None:
        """
        Start the server and wait, at most timeout seconds (the first start downloads 55 MB), until it serves.

        Raises LocalServerError, with the end of the log, when it ends before that or takes too long.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=PROJECT_ROOT,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if self._process.poll() is not None:
                raise LocalServerError(f"Triton ended while it started:\n{self._end_of_log()}")
            if time.monotonic() > deadline:
                self.kill()
                raise LocalServerError(f"Triton was not ready after {timeout} s:\n{self._end_of_log()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, *, limit: float = 8) -> None:
        """Ask the server to end; what of it is left after limit seconds is killed. Does nothing when it is down."""
        if self._process is None:
            return
        # A paused process would take no notice.
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Kill the server alone, as the kernel does when memory runs out; its children notice by themselves."""
        process, self._process = self._running(), None
        process.kill()
        process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server: connections stay open, nobody answers."""
        # Not its children: after a second without a sign of life the server would take them for dead and kill them.
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def is_ready(self) -> bool:
        try:
            status, _ = self._get("/v2/health/ready")
        except (OSError, http.client.HTTPException):
            return False
        return status == http.HTTPStatus.OK

    def statistics(self, model: str) -> dict[str, Any]:
        """Return Triton's own statistics of a model (inference_count, execution_count, batch_stats, ...)."""
        _, body = self._get(f"/v2/models/{model}/stats")
        (statistics,) = json.loads(body)["model_stats"]
        return dict(statistics)

    def children(self) -> list[int]:
        """Return the process ids of the server's own children, one for each model."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text().split()]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def log_text(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.http, timeout=_HTTP_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LocalServerError("Triton does not run.")
        return self._process

    def _command(self) -> list[str]:
        command = [str(self.python), "-m", "triton_models.local_server", "--die-with-parent"]
        command += [f"--{name}-port={port}" for name, port in vars(self.ports).items()]
        command += [f"--repository={folder}" for folder in self.repositories]
        return [*command, f"--models={','.join(self.models)}"]

    def _end_of_log(self) -> str:
        return "\n".join(self.log_text().splitlines()[-_LOG_LINES:])
