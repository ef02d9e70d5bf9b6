"""`make run`, after its set-up: starts everything, tells where to go, and takes everything with it when it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from skimage import data

from tests.running_site import ROOT, RunningSite, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from triton_models.local_triton import LocalTriton

pytestmark = [pytest.mark.processes, pytest.mark.triton, pytest.mark.xdist_group("looks"), pytest.mark.timeout(180)]
# Set in the environment of the first process, and so of all that it starts.
MARK = "IMAGEN_TEST_RUN"


class LocalRun:
    """What a person has typed `make run` for."""

    def __init__(self, var_dir: Path, *more: str) -> None:
        """more: of the command line."""
        self.var_dir = var_dir
        self.port = free_port()
        self.mark = f"{os.getpid()}-{self.port}"
        triton = {f"--triton-{name}-port": str(free_port()) for name in ("http", "grpc", "metrics")}
        options = [text for pair in {"--port": str(self.port), **triton}.items() for text in pair]
        var_dir.mkdir(parents=True, exist_ok=True)
        self.output = var_dir / "output.txt"
        environment = {name: value for name, value in os.environ.items() if name != "TRITON_URL"}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "imagen_site.local.run", *options, *more],
                cwd=ROOT,
                env={**environment, "IMAGEN_VAR_DIR": str(var_dir), MARK: self.mark},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self, *, seconds: float = 90) -> None:
        wait_until(
            lambda: "Stop with" in self.said() or self.process.poll() is not None, seconds=seconds, what="the start"
        )
        assert "Stop with" in self.said(), self.said()

    def said(self) -> str:
        return self.output.read_text()

    def alive(self) -> dict[int, str]:
        """Return every process of this run that is alive, found by the environment that it inherited."""
        found = {}
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdigit() and f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def site(self) -> RunningSite:
        """Return the site that runs, with its demo's key."""
        demo = json.loads((self.var_dir / "demo.json").read_text())
        site = RunningSite(var_dir=self.var_dir, triton_url="")
        site.url, site.api_key = demo["url"], demo["api_key"]
        return site

    def one(self, words: str) -> int:
        (pid,) = [pid for pid, command in self.alive().items() if words in command and "setpriv" not in command]
        return pid

    def kill(self) -> None:
        # Again and again: a manager may have started another one between the look and its own end.
        while found := self.alive():
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.2)
        self.process.wait(10)

    def everything_is_gone(self, *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
        assert self.alive() == {}


@pytest.fixture
def local_run(tmp_path: Path, triton: LocalTriton) -> Iterator[LocalRun]:
    run = LocalRun(tmp_path / "var")
    yield run
    run.kill()


@pytest.fixture
def cloud_run(triton: LocalTriton) -> Iterator[LocalRun]:
    # Not pytest's own folder, which only its owner may enter: PostgreSQL runs as somebody else.
    with tempfile.TemporaryDirectory(prefix="imagen-run-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        run = LocalRun(Path(folder) / "var", "--profile", "emulators", "--cloud-port", str(row_of_free_ports(5)))
        yield run
        run.kill()


def row_of_free_ports(length: int) -> int:
    """Return the first of so many ports in a row on which nobody listens."""
    while True:
        first = free_port()
        with suppress(OSError, OverflowError), ExitStack() as servers:
            for port in range(first, first + length):
                servers.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


class TestALocalRun:
    def test_says_where_to_go_and_ends_with_ctrl_c(self, local_run: LocalRun) -> None:
        local_run.wait_until_ready()
        demo = json.loads((local_run.var_dir / "demo.json").read_text())
        request = urllib.request.Request(f"{demo['url']}/api/v1/account", headers={"X-API-Key": demo["api_key"]})
        with urllib.request.urlopen(request, timeout=10) as answer:
            account = json.load(answer)

        local_run.process.send_signal(signal.SIGINT)
        local_run.everything_is_gone(seconds=25)

        assert set(demo) == {"url", "email", "password", "api_key"}
        assert demo["email"] in local_run.said()
        assert demo["password"] in local_run.said()
        assert demo["api_key"] in local_run.said()
        assert (local_run.var_dir / "demo.json").stat().st_mode & 0o777 == 0o600
        assert account["credits"] == {"available": 1000, "held": 0}
        # Gone, and not only a zombie that nobody has asked for its code.
        assert local_run.process.wait(10) == 0

    @pytest.mark.parametrize("killed", ["imagen_site.local.run", pytest.param("supervisord", marks=pytest.mark.long)])
    def test_leaves_nothing_when_a_manager_is_killed(self, local_run: LocalRun, killed: str) -> None:
        local_run.wait_until_ready()

        os.kill(local_run.one(killed), signal.SIGKILL)

        local_run.everything_is_gone(seconds=30)

    def test_starts_a_killed_worker_again(self, local_run: LocalRun) -> None:
        local_run.wait_until_ready()
        first = local_run.one("celery")

        os.kill(first, signal.SIGKILL)

        def another() -> bool:
            workers = [pid for pid, command in local_run.alive().items() if "celery" in command]
            return bool(workers) and first not in workers

        wait_until(another, seconds=20, what="the start of another worker")

    @pytest.mark.long
    def test_finishes_a_job_whose_model_was_killed_in_the_midst_of_it(self, local_run: LocalRun) -> None:
        local_run.wait_until_ready()
        site = local_run.site()
        server = local_run.one("tritonserver --")
        job_id = str(site.submit("upscale", photo(side=512))["job_id"])
        wait_until(lambda: site.job(job_id)["stage"] == "inferring", seconds=20, what="the beginning of the work")

        os.kill(local_run.one("/upscale/1/model.py"), signal.SIGKILL)
        job = site.wait_for(job_id)

        assert job["status"] == "completed"
        assert (job["output"]["width"], job["output"]["height"]) == (2048, 2048)
        assert local_run.one("tritonserver --") != server

    def test_says_which_port_is_taken(self, local_run: LocalRun, tmp_path: Path) -> None:
        local_run.wait_until_ready()

        done = subprocess.run(
            [sys.executable, "-m", "imagen_site.local.run", "--port", str(local_run.port)],
            cwd=ROOT,
            env={**os.environ, "IMAGEN_VAR_DIR": str(tmp_path / "other")},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert done.returncode == 1
        assert f"Port {local_run.port}" in done.stderr
        assert "make run PORT=" in done.stderr


@pytest.mark.long
@pytest.mark.timeout(600)
class TestTheCloudsPathOnOneMachine:
    def test_runs_a_job_through_every_service_and_leaves_nothing_behind(self, cloud_run: LocalRun) -> None:
        # Two emulators in Java, a database, Triton, two sites and five workers, on whatever the machine has left.
        cloud_run.wait_until_ready(seconds=300)
        site = cloud_run.site()

        job = site.wait_for(str(site.submit("background/remove", photo())["job_id"]))
        # The worker has no SQL: it is the push to the webhooks service that charges.
        wait_until(lambda: credits_of(site)["held"] == 0, seconds=20, what="the end of the hold")
        charged = credits_of(site)["available"]
        picture = site.download(job["output"]["url"])

        cloud_run.process.send_signal(signal.SIGINT)
        cloud_run.everything_is_gone(seconds=35)
        assert (job["status"], job["attempt"]) == ("completed", 1)
        assert Image.open(io.BytesIO(picture)).mode == "RGBA"
        assert charged == 1000 - job["credits"]
        assert cloud_run.process.wait(10) == 0


def photo(side: int = 128) -> bytes:
    file = io.BytesIO()
    Image.fromarray(data.astronaut()).resize((side, side)).save(file, "JPEG")
    return file.getvalue()


def credits_of(site: RunningSite) -> dict[str, int]:
    return dict(site.call("GET", "/api/v1/account")[1]["credits"])
