"""
A real Triton Inference Server on this machine, without Docker and without a GPU.

`python -m triton_models.local_server` prepares everything and then becomes the server, so that whoever started it has
one child and no middleman to lose. `local_triton.py` starts that command for a test or a benchmark.
"""

import argparse
import ctypes
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from triton_models import server_command, server_runs, server_wheel
from triton_models.errors import ModelError
from triton_models.server_command import REPOSITORY
from triton_models.server_wheel import LocalServerError

_EXIT_SECONDS = 5
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Ports:
    """Where the server listens on 127.0.0.1. The site has 8000, so Triton's own defaults are moved by a hundred."""

    http: int = 8100
    grpc: int = 8101
    metrics: int = 8102

    @classmethod
    def free(cls) -> Self:
        """Return three ports nobody listens on now; somebody may by the time they are used."""
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        ports = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        return cls(*ports)

    def refuse_if_taken(self) -> None:
        for name, port in vars(self).items():
            try:
                socket.create_server(("127.0.0.1", port)).close()
            except OSError as error:
                raise LocalServerError(
                    f"Port {port} is in use; is another Triton running? Stop it or pass --{name}-port."
                ) from error


def serve(*, ports: Ports, repositories: Sequence[Path], models: Sequence[str], die_with_parent: bool) -> NoReturn:
    """
    Become tritonserver, serving a copy of the repositories on CPU; models limits which (all when empty).

    Raises LocalServerError, with a sentence to act on, when this machine or this installation cannot.
    """
    server_wheel.check_platform()
    ports.refuse_if_taken()
    server_command.refuse_small_shared_memory()
    found = _models_in(repositories, wanted=models)
    server_command.refuse_missing_weights([model.name for model in found])
    files = server_wheel.fetch(server_wheel.cache_folder())
    run = server_runs.begin(server_wheel.cache_folder() / "triton-runs", shared_memory=server_command.SHARED_MEMORY)
    for model in found:
        _copy_for_cpu(model, run.repository / model.name)
    if die_with_parent:
        _die_with_parent()
    command = _command(files, run, ports, [model.name for model in found])
    environment = {**server_command.environment(), "LD_LIBRARY_PATH": server_wheel.library_path()}
    os.execve(files.program, command, environment)  # noqa: S606 - a list, and no shell


def _models_in(repositories: Iterable[Path], *, wanted: Sequence[str]) -> list[Path]:
    found: dict[str, Path] = {}
    for config in sorted(path for folder in repositories for path in folder.glob("*/config.pbtxt")):
        if config.parent.name in found:
            raise LocalServerError(f"Two repositories have a model named {config.parent.name}.")
        found[config.parent.name] = config.parent
    if missing := set(wanted) - found.keys():
        known = ", ".join(found) or "none"
        raise LocalServerError(f"No repository has a model named {', '.join(sorted(missing))}; there are: {known}.")
    if not found:
        raise LocalServerError(f"No model in {', '.join(map(str, repositories))}.")
    return [path for name, path in found.items() if name in wanted or not wanted]


def _copy_for_cpu(model: Path, target: Path) -> None:
    shutil.copytree(model, target, ignore=shutil.ignore_patterns("__pycache__"))
    config = (target / "config.pbtxt").read_text("utf-8")
    (target / "config.pbtxt").write_text(on_cpu(config), "utf-8")


def on_cpu(config: str) -> str:
    """Return the text of a config.pbtxt with its instances moved from the GPU to the CPU."""
    return re.sub(r"kind:\s*KIND_GPU", "kind: KIND_CPU", re.sub(r"\bgpus:\s*\[[^\]]*\]", "", config))


def _command(files: server_wheel.ServerFiles, run: server_runs.Run, ports: Ports, models: list[str]) -> list[str]:
    return [
        str(files.program),
        *server_command.arguments(run.repository, models, exit_seconds=_EXIT_SECONDS),
        f"--backend-directory={files.backends}",
        f"--backend-config=python,shm-region-prefix-name={run.token}",
        "--allow-gpu-metrics=false",
        *(f"--{name}-address=127.0.0.1" for name in vars(ports)),
        *(f"--{name}-port={port}" for name, port in vars(ports).items()),
    ]


def _die_with_parent() -> None:
    parent = os.getppid()
    # It outlives exec, and unlike a clean-up in the parent it also works when the parent is killed.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise LocalServerError("Whoever started Triton is gone already.")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    ports = Ports(http=options.http_port, grpc=options.grpc_port, metrics=options.metrics_port)
    try:
        serve(
            ports=ports,
            repositories=options.repository or [REPOSITORY],
            models=[name for name in options.models.split(",") if name],
            die_with_parent=options.die_with_parent,
        )
    except (LocalServerError, ModelError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m triton_models.local_server", description=__doc__)
    for name, port in vars(Ports()).items():
        parser.add_argument(f"--{name}-port", type=int, default=port)
    parser.add_argument(
        "--repository", type=Path, action="append", help="a folder of models, may be repeated (default: our own)"
    )
    parser.add_argument("--models", default="", help="which of them to serve, separated by commas (default: all)")
    parser.add_argument("--die-with-parent", action="store_true", help="stop when the process that started this ends")
    return parser


if __name__ == "__main__":
    sys.exit(main())
