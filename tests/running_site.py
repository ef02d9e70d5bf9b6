"""
The whole site as child processes: web, worker and sweep on free ports, with data of its own.

For tests that must see the real thing (a browser, a kill -9) and for the benchmarks. Every process dies with the one that
started it, and a stopped site leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from imagen_site.local.programs import WORKER_JOBS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent

PASSWORD = "correct horse battery"  # an account that lives as long as a test
EMAIL = "alice@example.com"
# argv: e-mail, password, credits.
_OPEN_ACCOUNT = """
import sys
from django.utils import timezone
from accounts import services
from accounts.models import SCOPES, Account
from billing.services import grant
email, password, credits = sys.argv[-3:]
now = timezone.now()
user = services.open_account(name="Alice", email=email, password=password, now=now)
# Tests and benchmarks submit faster than people may.
Account.objects.update(max_unfinished_jobs=1_000_000, max_submits_per_minute=1_000_000)
grant(account=user.account, credits=int(credits), reference="start", now=now)
print(services.create_api_key(
    account=user.account, name="start", scopes=SCOPES, mode="live", created_by=user, now=now)[1])
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Wait; raises TimeoutError naming what did not happen."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.05)


def answers(address: str) -> bool:
    with suppress(OSError):
        return urllib.request.urlopen(address, timeout=2).status == 200
    return False


@dataclass
class RunningSite:
    """
    A site over `triton_url`, writing into `var_dir`.

    settings: environment variables beside the ones it sets itself. concurrency: jobs that the worker does at once.
    """

    var_dir: Path
    triton_url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = WORKER_JOBS
    credits: int = 1_000_000
    api_key: str = field(default="", init=False)
    email: str = EMAIL
    password: str = field(default=PASSWORD, repr=False)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self.start_web()
            self.start_worker()
            self.start_sweep()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def prepare(self, *, pages: bool = True) -> None:
        """Make the database and an account with credits and an API key; without pages, what only they need is left out."""
        self.var_dir.mkdir(parents=True, exist_ok=True)
        self.manage("migrate", "-v0")
        if pages:
            self.manage("collectstatic", "--noinput", "-v0")
        self.open_account()

    def open_account(self) -> None:
        """Open the account whose API key the calls carry."""
        self.api_key = self.python(_OPEN_ACCOUNT, self.email, self.password, str(self.credits)).split()[-1]

    def start_web(self) -> None:
        command = [_tool("uvicorn"), "imagen_site.asgi:application", "--host", "127.0.0.1", "--port", str(self.port)]
        sockets = ["--ws-max-size", "65536", "--ws-per-message-deflate", "false"]
        self._start("web", [*command, "--no-access-log", *sockets])
        wait_until(self._answers, seconds=30, what="the start of the site")

    def start_webhooks(self, port: int) -> None:
        """Start the webhooks service of the cloud's profiles on a port of its own."""
        command = [_tool("uvicorn"), "imagen_site.asgi:application", "--host", "127.0.0.1", "--port", str(port)]
        self._start("webhooks", [*command, "--no-access-log"], IMAGEN_SERVICE="webhooks")
        wait_until(lambda: _listens(port), seconds=30, what="the start of the webhooks service")

    def start_worker(
        self, name: str = "worker", queues: str = "", *, app: str = "imagen_site", **environment: str
    ) -> None:
        """Start a worker; `queues` are comma-separated, all of them when empty, and `app` is where its Celery is."""
        options = ["--without-mingle", "--without-gossip", "--without-heartbeat", "-P", "threads"]
        command = [_tool("celery"), "-A", app, "worker", *options, "-c", str(self.concurrency)]
        if queues:
            command += ["-Q", queues]
        self._start(name, [*command, "--pidfile=", "-n", f"{name}@%h"], **environment)

    def start_sweep(self) -> None:
        self._start("sweep", [sys.executable, "manage.py", "sweep", "--every"])

    def process(self, name: str) -> subprocess.Popen[bytes]:
        return self._processes[name]

    def runs(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def kill(self, name: str = "worker") -> None:
        """kill -9, as the kernel does when memory runs out."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def stop_process(self, name: str, *, seconds: float = 20) -> float:
        """SIGTERM, and wait; returns the seconds it took. Kills and raises TimeoutExpired when it takes longer."""
        process = self._processes.pop(name)
        began = time.monotonic()
        process.terminate()
        try:
            process.wait(seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        return time.monotonic() - began

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for name in list(self._processes):
            with suppress(subprocess.TimeoutExpired):
                self.stop_process(name, seconds=15)

    def log(self, name: str) -> str:
        return (self.var_dir / f"{name}.log").read_text(errors="replace")

    def manage(self, *arguments: str) -> str:
        """Run a management command; returns what it printed."""
        return self._run(["manage.py", *arguments])

    def python(self, code: str, *arguments: str, seconds: float = 60) -> str:
        """Run Python inside the site's settings; returns what it printed."""
        start = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'imagen_site.settings'; django.setup()\n"
        return self._run(["-c", start + code, *arguments], seconds=seconds)

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Call the API with the account's key; returns the status and the JSON answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            self.url + path, data=body, method=method, headers={"X-API-Key": self.api_key, **named}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def submit(self, path: str, image: bytes, *, filename: str = "photo.jpg", **fields: str) -> dict[str, Any]:
        """Submit a photo to /api/v1/images/<path>; returns the accepted job."""
        body, content_type = multipart(image, filename, fields)
        status, job = self.call("POST", f"/api/v1/images/{path}", body, Content_Type=content_type)
        assert status == 202, job
        return dict(job)

    def job(self, job_id: str) -> dict[str, Any]:
        status, job = self.call("GET", f"/api/v1/jobs/{job_id}")
        assert status == 200, job
        return dict(job)

    def wait_for(self, job_id: str, *statuses: str, seconds: float = 90) -> dict[str, Any]:
        """Wait until a job has one of these statuses, by default until it has ended."""
        wanted = statuses or ("completed", "failed", "cancelled")
        seen: dict[str, Any] = {}

        def there() -> bool:
            seen.update(self.job(job_id))
            return seen["status"] in wanted

        wait_until(there, seconds=seconds, what=f"{' or '.join(wanted)} of job {job_id}")
        return seen

    def download(self, link: str) -> bytes:
        with urllib.request.urlopen(self.url + link, timeout=60) as answer:
            return bytes(answer.read())

    def _answers(self) -> bool:
        process = self._processes["web"]
        if process.poll() is not None:
            raise RuntimeError(f"The site ended while it started:\n{self.log('web')[-3000:]}")
        return answers(f"{self.url}/livez")

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "IMAGEN_VAR_DIR": str(self.var_dir),
            "SITE_URL": self.url,
            "TRITON_URL": self.triton_url,
            "SUBMIT_RATE": "1000000/minute",
            "READ_RATE": "1000000/minute",
            **self.settings,
        }

    def _start(self, name: str, command: list[str], **environment: str) -> None:
        with (self.var_dir / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                cwd=ROOT,
                env={**self._environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _run(self, arguments: list[str], *, seconds: float = 60) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if done.returncode:
            raise RuntimeError(f"{arguments} failed:\n{done.stderr[-3000:]}")
        return done.stdout


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def multipart(image: bytes, filename: str, fields: Mapping[str, str]) -> tuple[bytes, str]:
    """Return a multipart/form-data body with the file field "image", and its content type."""
    boundary = "imagen-test-boundary"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{filename}"\r\n'
    parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + image + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
