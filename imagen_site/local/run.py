"""
`python -m imagen_site.local.run`: the whole site on this machine until Ctrl-C.

Prepares the data, becomes the parent of supervisor, waits until all is ready and says where to go. With `--profile
emulators` it is the cloud's path that runs: the same services as there, over stand-ins that are started first and
stopped last. However this process ends, nothing of what it started stays: supervisor ends with it, and the programs
end with supervisor.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_site import config
from imagen_site.local import readiness
from imagen_site.local.emulators import EmulatorMissing
from imagen_site.local.programs import (
    STOP_SECONDS,
    Program,
    TritonPorts,
    cloud_programs,
    site_programs,
    triton_program,
    with_metrics_ports,
)
from imagen_site.local.run_logs import RunLogs
from imagen_site.local.stand_ins import CloudPorts, StandIns
from imagen_site.local.supervisor import Supervisor
from imagen_site.local.terminal import boxed, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imagen_site.config import Config

DEFAULT_PORT = 8000
_READY_SECONDS = 120
# The model server of somebody else is hardly waited for: it is theirs to start.
_OTHER_TRITON_SECONDS = 10


class CannotRun(Exception):
    """The site cannot be run here now; the message is a sentence that says why and what to do."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; `triton` is None where somebody else runs the model server."""

    profile: str
    port: int
    triton: TritonPorts | None
    cloud: CloudPorts


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    ports = TritonPorts(http=given.triton_http_port, grpc=given.triton_grpc_port, metrics=given.triton_metrics_port)
    asked = Asked(
        profile=given.profile,
        port=given.port,
        triton=None if os.environ.get("TRITON_URL") else ports,
        cloud=CloudPorts.from_first(given.cloud_port),
    )
    environment = child_environment(os.environ, port=asked.port, triton=ports)
    try:
        _check_setpriv()
        refuse_taken(asked.port, asked.triton)
        code = _run_cloud(asked, environment) if asked.profile == "emulators" else _run_local(asked, environment)
    except (CannotRun, EmulatorMissing, config.ConfigError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    if not code:
        say("stopped.")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m imagen_site.local.run", description=__doc__)
    parser.add_argument("--profile", choices=("local", "emulators"), default="local", help="local, or the cloud's path")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the site")
    for name, port in vars(TritonPorts()).items():
        parser.add_argument(f"--triton-{name}-port", type=int, default=port, help="of the model server")
    first = CloudPorts().pubsub
    parser.add_argument(
        "--cloud-port", type=int, default=first, help="the first of five in a row for the cloud's parts"
    )
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
    _refuse_taken("PORT", port, who="the site")
    for name, number in vars(triton).items() if triton else ():
        _refuse_taken(f"TRITON_{name.upper()}_PORT", number, who="the model server")


def _refuse_taken(variable: str, number: int, *, who: str, first: int | None = None) -> None:
    if not 0 < number < 65536:
        raise CannotRun(f"{variable}={number} is not a port: a port is a number from 1 to 65535.")
    try:
        socket.create_server(("127.0.0.1", number)).close()
    except OSError as error:
        raise CannotRun(
            f"Port {number}, where {who} would listen, is in use. Is Imagen running already? "
            f"Stop what listens there or choose another port: make run {variable}={(first or number) + 10}"
        ) from error


def _run_local(asked: Asked, environment: dict[str, str]) -> int:
    settings = _settings(environment)
    environment["IMAGEN_VAR_DIR"] = str(settings.var_dir)
    _prepare(environment)
    return _serve(settings, environment, asked, site_programs(config.ROOT, port=asked.port))


def _run_cloud(asked: Asked, environment: dict[str, str]) -> int:
    # Beside the data of the local profile, and never mixed with it.
    environment["IMAGEN_VAR_DIR"] = environment.get("IMAGEN_VAR_DIR") or str(config.ROOT / "var/emulators")
    environment["IMAGEN_PROFILE"] = "emulators"
    var_dir = Path(environment["IMAGEN_VAR_DIR"]).resolve()
    stand_ins = StandIns(environment, asked.cloud, var_dir=var_dir)
    environment |= {**stand_ins.environment(), "IMAGEN_VAR_DIR": str(var_dir)}
    settings = _settings(environment)
    for who, number in {**stand_ins.ports, "webhooks": asked.cloud.webhooks}.items():
        _refuse_taken("CLOUD_PORT", number, who=who, first=asked.cloud.pubsub)
    if stand_ins.without_postgres:
        say(stand_ins.without_postgres)
    _write_environment(var_dir / "environment", environment, [*stand_ins.environment(), "IMAGEN_PROFILE"])
    with _running(stand_ins, environment, var_dir):
        _manage("topics and bucket", ["prepare_emulators", f"http://127.0.0.1:{asked.cloud.webhooks}"], environment)
        _prepare(environment)
        programs = cloud_programs(
            config.ROOT, port=asked.port, webhooks_port=asked.cloud.webhooks, run_dir=settings.var_dir
        )
        return _serve(settings, environment, asked, programs)


def _write_environment(path: Path, environment: Mapping[str, str], names: Sequence[str]) -> None:
    """Write what an operator's command must be told beside, for a shell to read; it holds the token of pushes."""
    named = [*names, "IMAGEN_VAR_DIR", "SITE_URL", "TRITON_URL"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"export {name}={shlex.quote(environment[name])}\n" for name in named)


@contextmanager
def _running(stand_ins: StandIns, environment: Mapping[str, str], var_dir: Path) -> Iterator[None]:
    """Hold what stands in for the cloud up for as long as the block runs: a worker that stops still needs it."""
    logs = RunLogs(var_dir / "logs")
    supervisor = Supervisor(stand_ins.programs, environment, root=config.ROOT, var_dir=var_dir, name="stand-ins")
    try:
        silent = stand_ins.wait(going=supervisor.goes, say=say)
        if silent:
            raise CannotRun(f"{silent} does not answer. {logs.shown(silent)}")
        yield
    finally:
        supervisor.stop()
        supervisor.wait()


def _settings(environment: Mapping[str, str]) -> Config:
    settings = config.load(environment)
    return replace(settings, var_dir=settings.var_dir.resolve())


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
    say(f"{what}: {done.stdout.strip() or 'ready'} ({time.monotonic() - began:.1f} s)")


def _serve(settings: Config, environment: Mapping[str, str], asked: Asked, programs: Sequence[Program]) -> int:
    logs = RunLogs(settings.var_dir / "logs")
    model_server = [triton_program(config.ROOT, asked.triton)] if asked.triton else []
    programs = with_metrics_ports(programs, settings.metrics_port)
    supervisor = Supervisor([*model_server, *programs], environment, root=config.ROOT, var_dir=settings.var_dir)
    supervisor.stop_when_asked(
        lambda: say(f"stopping; running jobs have a few seconds to end (at most {STOP_SECONDS} s)…")
    )
    seen = readiness.wait(
        f"http://127.0.0.1:{asked.port}",
        seconds=_READY_SECONDS,
        models_seconds=None if asked.triton else _OTHER_TRITON_SECONDS,
        going=supervisor.goes,
        say=say,
    )
    if supervisor.goes():
        _report(seen, settings, logs)
        if not seen.site:
            supervisor.stop()
    stopped = supervisor.wait()
    say(
        "stopped."
        if stopped
        else f"supervisor has ended by itself, and everything with it; see {logs.folder}/supervisor.log."
    )
    return 0 if stopped and seen.site else 1


def _report(seen: readiness.Readiness, settings: Config, logs: RunLogs) -> None:
    if not seen.site:
        say(f"The site does not answer. {logs.shown('web')}")
        return
    if not seen.complete:
        say(f"The {seen.missing} at {settings.triton_url} does not answer yet; jobs wait until it does.")
        if logs.end_of("triton"):
            say(logs.shown("triton"))
    demo = json.loads((settings.var_dir / "demo.json").read_text())
    lines = [
        f"Imagen is at   {settings.site_url}",
        f"Sign in with   {demo['email']}   {demo['password']}",
        f"API key        {demo['api_key']}",
        f"Admin          {settings.site_url}/admin/",
        f"API docs       {settings.site_url}/api/v1/docs",
        f"For scripts    {settings.var_dir / 'demo.json'}",
        f"Logs           {logs.folder}",
        "Stop with      Ctrl-C",
    ]
    say(boxed(lines))


if __name__ == "__main__":
    sys.exit(main())
