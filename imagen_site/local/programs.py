"""The programs of the local profile, and supervisor's configuration of them."""

from __future__ import annotations

import getpass
import os
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# A worker may take 12 seconds to hand its jobs back, the web server 8 to answer what it has begun.
STOP_SECONDS = 15
_LOG_BYTES = 5_000_000
# Three times the largest batch: while the model server works on one, one waits for it and one is on its way.
WORKER_JOBS = 12


@dataclass(frozen=True)
class Program:
    """One child of supervisor. `environment` is added to what supervisor itself was given."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TritonPorts:
    """Where the local model server listens; its own defaults moved by a hundred, since the site has 8000."""

    http: int = 8100
    grpc: int = 8101
    metrics: int = 8102


def site_programs(root: Path, *, port: int) -> list[Program]:
    """Return web, worker and sweep, run by the site's own environment."""
    python = str(root / ".venv/bin/python")
    uvicorn = ("imagen_site.asgi:application", "--host", "127.0.0.1", "--port", str(port), "--no-access-log")
    # Without -Q: the worker takes every queue that the settings name, one for each operation.
    celery = ("-A", "imagen_site", "worker", "-P", "threads", "-c", str(WORKER_JOBS), "-n", "worker@local")
    quiet = ("--without-mingle", "--without-gossip", "--without-heartbeat", "--pidfile=")
    return [
        Program(
            "web", (python, "-m", "uvicorn", *uvicorn, "--ws-max-size", "65536", "--timeout-graceful-shutdown", "8")
        ),
        Program("worker", (python, "-m", "celery", *celery, *quiet)),
        Program("sweep", (python, str(root / "manage.py"), "sweep", "--every")),
    ]


def triton_program(root: Path, ports: TritonPorts) -> Program:
    """Return the model server, run by the models' environment."""
    python = str(root / ".venv-models/bin/python")
    listen = (f"--{name}-port={port}" for name, port in vars(ports).items())
    return Program("triton", (python, "-m", "triton_models.local_server", *listen))


def supervisor_config(programs: Iterable[Program], *, root: Path, var_dir: Path) -> str:
    """
    Return the text of supervisor's configuration.

    Every program ends with supervisor, even when that is killed; one that ends by itself is started again.
    """
    programs = list(programs)
    logs = var_dir / "logs"
    head = f"""\
[supervisord]
nodaemon=true
silent=true
user={getpass.getuser() if os.getuid() else "root"}
logfile={_escape(str(logs / "supervisor.log"))}
logfile_maxbytes={_LOG_BYTES}
logfile_backups=1
pidfile={_escape(str(var_dir / "supervisor.pid"))}
childlogdir={_escape(str(logs))}

; One group, so that all are asked to stop at once and not one after the other.
[group:imagen]
programs={",".join(program.name for program in programs)}
"""
    return head + "".join(_section(program, root=root, logs=logs) for program in programs)


def _section(program: Program, *, root: Path, logs: Path) -> str:
    # setpriv: the kernel sends SIGTERM when supervisor is gone, however it went.
    command = shlex.join(["setpriv", "--pdeathsig", "TERM", *program.command])
    environment = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    return f"""
[program:{program.name}]
command={_escape(command)}
directory={_escape(str(root))}
environment={_escape(environment)}
autorestart=true
; For ever: whatever keeps it from starting may pass, and a site without its worker is no site.
startretries=1000000
stopwaitsecs={STOP_SECONDS}
killasgroup=true
redirect_stderr=true
stdout_logfile={_escape(str(logs / f"{program.name}.log"))}
stdout_logfile_maxbytes={_LOG_BYTES}
stdout_logfile_backups=1
"""


def _escape(value: str) -> str:
    # supervisor expands %(name)s everywhere.
    return value.replace("%", "%%")
