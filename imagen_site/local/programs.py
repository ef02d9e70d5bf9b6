"""The programs that run on one machine, and supervisor's configuration of them."""

from __future__ import annotations

import getpass
import os
import pwd
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from imagen_site import commands
from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

# A worker may take 12 seconds to hand its jobs back, the web server 8 to answer what it has begun.
STOP_SECONDS = 15
_LOG_BYTES = 5_000_000
# Three times the largest batch: while the model server works on one, one waits for it and one is on its way.
WORKER_JOBS = 12
# Of one operation's worker, beside four others on this machine.
CLOUD_WORKER_JOBS = 4


@dataclass(frozen=True)
class Program:
    """
    One child of supervisor.

    environment: added to what supervisor itself was given. user: who runs it where root would; ourselves when empty.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    stop_signal: str = "TERM"


@dataclass(frozen=True)
class TritonPorts:
    """Where the local model server listens; its own defaults moved by a hundred, since the site has 8000."""

    http: int = 8100
    grpc: int = 8101
    metrics: int = 8102


def site_programs(root: Path, *, port: int) -> list[Program]:
    """Return web, worker and sweep of the local profile, run by the site's own environment."""
    # Without -Q: the worker takes every queue that the settings name, one for each operation.
    worker = _celery(root, "worker", jobs=WORKER_JOBS)
    return [Program("web", _uvicorn(root, port)), Program("worker", worker), Program("sweep", _sweep(root))]


def cloud_programs(
    root: Path, *, port: int, webhooks_port: int, run_dir: Path, worker_jobs: int = CLOUD_WORKER_JOBS
) -> list[Program]:
    """
    Return the cloud's services: web, webhooks, a worker for each operation, and the sweep in place of Cloud Scheduler.

    run_dir: where the workers say that they are well. worker_jobs: what each of them does at once.
    """
    webhooks = Program("webhooks", _uvicorn(root, webhooks_port), {"IMAGEN_SERVICE": "webhooks"})
    workers = [
        Program(
            operation.worker,
            _celery(root, operation.worker, jobs=worker_jobs, queue=operation.topic),
            {"IMAGEN_SERVICE": "worker", "LIVENESS_FILE": str(run_dir / f"{operation.worker}.alive")},
        )
        for operation in OPERATIONS.values()
    ]
    return [Program("web", _uvicorn(root, port)), webhooks, *workers, Program("sweep", _sweep(root))]


def _uvicorn(root: Path, port: int) -> tuple[str, ...]:
    return (_python(root), *commands.web(host="127.0.0.1", port=port))


def _celery(root: Path, name: str, *, jobs: int, queue: str = "") -> tuple[str, ...]:
    return (_python(root), *commands.worker(f"{name}@local", jobs=jobs, queue=queue))


def _sweep(root: Path) -> tuple[str, ...]:
    return (_python(root), str(root / "manage.py"), "sweep", "--every")


def _python(root: Path) -> str:
    return str(root / ".venv/bin/python")


def with_metrics_ports(programs: Sequence[Program], first: int | None) -> list[Program]:
    """Return the programs, each told of a port of its own for Prometheus, from the first on; none asks for none."""
    if first is None:
        return list(programs)
    return [
        replace(program, environment={**program.environment, "METRICS_PORT": str(port)})
        for port, program in enumerate(programs, start=first)
    ]


def triton_program(root: Path, ports: TritonPorts) -> Program:
    """Return the model server, run by the models' environment."""
    python = str(root / ".venv-models/bin/python")
    listen = (f"--{name}-port={port}" for name, port in vars(ports).items())
    return Program("triton", (python, "-m", "triton_models.local_server", *listen))


def supervisor_config(programs: Iterable[Program], *, root: Path, var_dir: Path, name: str = "supervisor") -> str:
    """
    Return the text of supervisor's configuration.

    name: of its own log and process file.

    Every program ends with supervisor, even when that is killed; one that ends by itself is started again.
    """
    programs = list(programs)
    logs = var_dir / "logs"
    head = f"""\
[supervisord]
nodaemon=true
silent=true
user={getpass.getuser() if os.getuid() else "root"}
logfile={_escape(str(logs / f"{name}.log"))}
logfile_maxbytes={_LOG_BYTES}
logfile_backups=1
pidfile={_escape(str(var_dir / f"{name}.pid"))}
childlogdir={_escape(str(logs))}

; One group, so that all are asked to stop at once and not one after the other.
[group:imagen]
programs={",".join(program.name for program in programs)}
"""
    return head + "".join(_section(program, root=root, logs=logs) for program in programs)


def _section(program: Program, *, root: Path, logs: Path) -> str:
    # setpriv: the kernel sends SIGTERM when supervisor is gone, however it went.
    command = shlex.join(["setpriv", "--pdeathsig", "TERM", *_as_user(program.user), *program.command])
    environment = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    return f"""
[program:{program.name}]
command={_escape(command)}
directory={_escape(str(root))}
environment={_escape(environment)}
autorestart=true
; For ever: whatever keeps it from starting may pass, and a site without its worker is no site.
startretries=1000000
stopsignal={program.stop_signal}
stopwaitsecs={STOP_SECONDS}
killasgroup=true
redirect_stderr=true
stdout_logfile={_escape(str(logs / f"{program.name}.log"))}
stdout_logfile_maxbytes={_LOG_BYTES}
stdout_logfile_backups=1
"""


def _as_user(user: str) -> tuple[str, ...]:
    if not user or os.getuid() != 0:
        return ()
    record = pwd.getpwnam(user)
    return (f"--reuid={record.pw_uid}", f"--regid={record.pw_gid}", "--init-groups")


def _escape(value: str) -> str:
    # supervisor expands %(name)s everywhere.
    return value.replace("%", "%%")
