"""
Whether the model server on this machine is well: what Kubernetes and Docker ask every few seconds.

live    it answers, and every model that it calls ready has its process (else: start it anew)
ready   it is live and has every model ready that it was started with, or those of --models (else: send it no work)

Triton's own health endpoints go on saying yes after a model's process was killed, and it never starts one anew.
Exit codes: 0 well · 1 not well, a sentence on stderr says why · 2 wrong command line. Only the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# One folder for each operation. Not the table of operations: to import it takes longer than to ask the server.
OURS = sorted(path.parent.name for path in Path(__file__).with_name("repository").glob("*/config.pbtxt"))
_HTTP_SECONDS = 2
# The kernel keeps the first fifteen letters of a program's name.
_SERVER, _STUB = "tritonserver", "triton_python_b"
_LISTENING = "0A"
_LOAD = "--load-model="
_PROC = Path("/proc")


class Unwell(Exception):
    """The server is not well; the message is a sentence for whoever reads the pod's events."""


def live(port: int) -> None:
    """Raise Unwell unless the server behind this HTTP port answers and each of its ready models has its process."""
    _require(port, "/v2/health/live")
    server = _server_behind(port)
    stubs = [state for parent, name, state in _processes() if parent == server and name == _STUB]
    dead = sum(state in "ZX" for state in stubs)
    if dead:
        raise Unwell(f"{dead} of the models' processes were killed; Triton never starts one anew.")
    models = _ready_models(port)
    if len(stubs) < len(models):
        raise Unwell(f"{len(models)} models say that they are ready, but only {len(stubs)} have a process.")


def ready(port: int, models: Sequence[str] = ()) -> None:
    """Raise Unwell, naming the first model, unless it is live and has all of these, or of its own, ready."""
    live(port)
    _require(port, "/v2/health/ready")
    for model in models or models_of(_server_behind(port)):
        _require(port, f"/v2/models/{model}/ready")


def models_of(server: int) -> list[str]:
    """Return the models that a process of tritonserver was told to load; all of ours when it was told of none."""
    words = (_PROC / str(server) / "cmdline").read_text(errors="replace").split("\0")
    return [word.removeprefix(_LOAD) for word in words if word.startswith(_LOAD)] or OURS


def _require(port: int, path: str) -> None:
    status, _ = _ask(port, "GET", path)
    if status != http.HTTPStatus.OK:
        raise Unwell(f"Triton answers {path} with {status}.")


def _ready_models(port: int) -> list[str]:
    _, body = _ask(port, "POST", "/v2/repository/index")
    return [str(model["name"]) for model in json.loads(body) if model.get("state") == "READY"]


def _ask(port: int, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_HTTP_SECONDS)
    try:
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unwell(f"Triton does not answer on port {port}: {error or type(error).__name__}.") from error


def _server_behind(port: int) -> int:
    """Return the process id of the Triton that listens on the port: a machine may have several."""
    inodes = _listening(port)
    for folder in _PROC.glob("[0-9]*"):
        # Those of other people cannot be looked into, and some end meanwhile.
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == _SERVER and inodes & _sockets(folder):
                return int(folder.name)
    raise Unwell(f"Port {port} answers, but no tritonserver of this user on this machine listens there.")


def _listening(port: int) -> set[str]:
    """Return what the kernel calls the sockets that listen on the port."""
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _sockets(folder: Path) -> set[str]:
    found = set()
    for link in (folder / "fd").iterdir():
        # A busy server closes some while they are listed.
        with contextlib.suppress(FileNotFoundError):
            found.add(str(link.readlink()))
    return found


def _processes() -> Iterator[tuple[int, str, str]]:
    """Yield parent, name and state of every process; a state of Z is one that was killed and that nobody waits for."""
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (folder / "stat").read_text(errors="replace")
            # The name stands in brackets and may hold brackets.
            name, _, rest = text.partition("(")[2].rpartition(") ")
            state, parent = rest.split()[:2]
            yield int(parent), name, state


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    try:
        if asked.question == "live":
            live(asked.http_port)
        else:
            ready(asked.http_port, [name for name in asked.models.split(",") if name])
    except Unwell as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m triton_models.probe", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("question", choices=("live", "ready"))
    # Triton's own, as in its container; on one machine it is 8100.
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--models", default="", help="separated by commas (default: those that it was started with)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
