"""
`python -m imagen_site.local.run`: the whole site on this machine until Ctrl-C.

Prepares the data, becomes the parent of supervisor, waits until all is ready and says where to go. However this
process ends, nothing of what it started stays: supervisor ends with it, and the programs end with supervisor.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from imagen_site import config
from imagen_site.local import readiness
from imagen_site.local.programs import STOP_SECONDS, TritonPorts, site_programs, supervisor_config, triton_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imagen_site.config import Config

DEFAULT_PORT = 8000
_LOG_LINES = 15
# The model server of somebody else is not waited for: it is theirs to start.
_OWN_TRITON_SECONDS, _OTHER_TRITON_SECONDS = 120, 10


class CannotRun(Exception):
    """The site cannot be run here now; the message is a sentence that says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    ports = TritonPorts(http=asked.triton_http_port, grpc=asked.triton_grpc_port, metrics=asked.triton_metrics_port)
    own_triton = not os.environ.get("TRITON_URL")
    environment = child_environment(os.environ, port=asked.port, triton=ports)
    try:
        _check_setpriv()
        refuse_taken(asked.port, ports if own_triton else None)
        settings = config.load(environment)
        settings = replace(settings, var_dir=settings.var_dir.resolve())
        _prepare({**environment, "IMAGEN_VAR_DIR": str(settings.var_dir)})
        return _serve(settings, environment, port=asked.port, triton=ports if own_triton else None)
    except (CannotRun, config.ConfigError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m imagen_site.local.run", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the site")
    for name, port in vars(TritonPorts()).items():
        parser.add_argument(f"--triton-{name}-port", type=int, default=port, help="of the model server")
    return parser


def child_environment(environment: Mapping[str, str], *, port: int, triton: TritonPorts) -> dict[str, str]:
    """Return the environment of every program: the user's own, and the addresses where the user said nothing."""
    return {
        **environment,
        "SITE_URL": environment.get("SITE_URL") or f"http://127.0.0.1:{port}",
        "TRITON_URL": environment.get("TRITON_URL") or f"127.0.0.1:{triton.grpc}",
        "PYTHONUNBUFFERED": "1",
    }


def _check_setpriv() -> None:
    if shutil.which("setpriv") is None:
        raise CannotRun("Imagen needs the program setpriv, which this machine lacks; it is in the package util-linux.")


def refuse_taken(port: int, triton: TritonPorts | None) -> None:
    """Raise CannotRun, naming the first port of 127.0.0.1 that somebody listens on and how to choose another."""
    wanted = {"PORT": port}
    wanted.update({f"TRITON_{name.upper()}_PORT": number for name, number in vars(triton).items()} if triton else {})
    for variable, number in wanted.items():
        if not 0 < number < 65536:
            raise CannotRun(f"{variable}={number} is not a port: a port is a number from 1 to 65535.")
        try:
            socket.create_server(("127.0.0.1", number)).close()
        except OSError as error:
            who = "the site" if variable == "PORT" else "the model server"
            raise CannotRun(
                f"Port {number}, where {who} would listen, is in use. Is Imagen running already? "
                f"Stop what listens there or choose another port: make run {variable}={number + 10}"
            ) from error


def _prepare(environment: Mapping[str, str]) -> None:
    def database_and_account() -> None:
        _manage("database", ["migrate", "-v0"], environment)
        _manage("demo account", ["create_demo"], environment)

    with ThreadPoolExecutor(2) as pool:
        static_files = pool.submit(_manage, "static files", ["collectstatic", "--noinput", "-v0"], environment)
        pool.submit(database_and_account).result()
        static_files.result()


def _manage(what: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=config.ROOT,
        env={**environment, "LOG_LEVEL": "WARNING"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotRun(f"The {what} could not be prepared:\n{(done.stderr or done.stdout).strip()[-3000:]}")
    _say(f"{what}: {done.stdout.strip() or 'ready'} ({time.monotonic() - began:.1f} s)")


def _serve(settings: Config, environment: Mapping[str, str], *, port: int, triton: TritonPorts | None) -> int:
    logs = settings.var_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    programs = site_programs(config.ROOT, port=port)
    if triton:
        programs = [triton_program(config.ROOT, triton), *programs]
    written = settings.var_dir / "supervisor.conf"
    written.write_text(supervisor_config(programs, root=config.ROOT, var_dir=settings.var_dir))
    supervisor = _Supervisor(written, {**environment, "IMAGEN_VAR_DIR": str(settings.var_dir)})
    seen = readiness.wait(
        f"http://127.0.0.1:{port}",
        seconds=_OWN_TRITON_SECONDS if triton else _OTHER_TRITON_SECONDS,
        going=supervisor.goes,
        say=_say,
    )
    if supervisor.goes():
        _report(seen, settings, logs)
        if not seen.site:
            supervisor.stop()
    return supervisor.wait() if seen.site else (supervisor.wait() or 1)


class _Supervisor:
    """supervisord as our only child, until a signal tells us to stop."""

    def __init__(self, configuration: Path, environment: Mapping[str, str]) -> None:
        self._stopping = False
        self._has_terminal = sys.stdin is not None and sys.stdin.isatty()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop())
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "supervisor.supervisord", "-c", configuration],
            env=environment,
            stdin=subprocess.DEVNULL,
            # A session of its own: Ctrl-C reaches us alone, and we ask it to stop, once.
            start_new_session=True,
        )

    def goes(self) -> bool:
        return not self._stopping and self._process.poll() is None

    def stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._process.terminate()
            _say(f"stopping; running jobs have a few seconds to end (at most {STOP_SECONDS} s)…")

    def wait(self) -> int:
        """Return when it has ended: 0 when that was asked for, else 1."""
        while self._process.poll() is None:
            # A make that was its terminal's first process (ssh -t ... make run) keeps the hang-up to itself.
            if self._has_terminal and _hung_up(sys.stdin.fileno()):
                self.stop()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
        if self._stopping:
            _say("stopped.")
            return 0
        _say("supervisor has ended by itself, and everything with it; see var/logs/supervisor.log.")
        return 1


def _hung_up(terminal: int) -> bool:
    poll = select.poll()
    poll.register(terminal, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


def _report(seen: readiness.Readiness, settings: Config, logs: Path) -> None:
    if not seen.site:
        _say(f"The site does not answer. The end of {logs / 'web.log'}:\n{_end_of(logs / 'web.log')}")
        return
    if not seen.complete:
        _say(f"The {seen.missing} at {settings.triton_url} does not answer yet; jobs wait until it does.")
        if (logs / "triton.log").exists():
            _say(f"The end of {logs / 'triton.log'}:\n{_end_of(logs / 'triton.log')}")
    demo = json.loads((settings.var_dir / "demo.json").read_text())
    lines = [
        f"Imagen is at   {settings.site_url}",
        f"Sign in with   {demo['email']}   {demo['password']}",
        f"API key        {demo['api_key']}",
        f"Admin          {settings.site_url}/admin/",
        f"API docs       {settings.site_url}/api/v1/docs",
        f"For scripts    {settings.var_dir / 'demo.json'}",
        f"Logs           {logs}",
        "Stop with      Ctrl-C",
    ]
    _say(boxed(lines))


def boxed(lines: Sequence[str]) -> str:
    """Return the lines with a frame around them."""
    width = max(map(len, lines))
    rule = "─" * (width + 2)
    return "\n".join([f"\n┌{rule}┐", *(f"│ {line:{width}} │" for line in lines), f"└{rule}┘\n"])


def _end_of(log: Path) -> str:
    if not log.exists():
        return "(nothing)"
    with log.open(errors="replace") as lines:
        return "".join(deque(lines, maxlen=_LOG_LINES))


def _say(line: str) -> None:
    # The terminal may have been closed; the site, or its end, does not depend on it.
    with suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
