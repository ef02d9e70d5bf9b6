"""
The model server in its container (Dockerfile): looks at what it was given, and then becomes tritonserver.

`python -m triton_models.container [--models=upscale,enhance] [tritonserver's own arguments ...]`; without --models it
serves every operation. Its own arguments come first, so that one of tritonserver's may be said again otherwise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from typing import TYPE_CHECKING, NoReturn

from triton_models import server_command
from triton_models.engines import OPERATIONS
from triton_models.errors import ModelError
from triton_models.server_wheel import LocalServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

# A Spot machine is gone 15 seconds after its notice.
_EXIT_SECONDS = 10
# Workers spread over several servers only when their connections end now and then; what runs is not cut off.
_CONNECTION_AGE_MILLISECONDS = 600_000


def command(models: Sequence[str], more: Sequence[str]) -> list[str]:
    """Return tritonserver's command line for these models, all when empty. Raises LocalServerError for others."""
    if unknown := sorted(set(models) - OPERATIONS.keys()):
        raise LocalServerError(f"There is no model named {', '.join(unknown)}; there are: {', '.join(OPERATIONS)}.")
    served = list(models) or list(OPERATIONS)
    return [
        "tritonserver",
        *server_command.arguments(server_command.REPOSITORY, served, exit_seconds=_EXIT_SECONDS),
        f"--grpc-max-connection-age={_CONNECTION_AGE_MILLISECONDS}",
        *more,
    ]


def serve(models: Sequence[str], more: Sequence[str]) -> NoReturn:
    """Become tritonserver. Raises LocalServerError, with a sentence to act on, when the container lacks something."""
    line = command(models, more)
    server_command.refuse_small_shared_memory()
    server_command.refuse_missing_weights(models or OPERATIONS)
    program = shutil.which("tritonserver")
    if program is None:
        raise LocalServerError("There is no tritonserver here; outside its container use triton_models.local_server.")
    os.execve(program, line, server_command.environment())  # noqa: S606 - a list, and no shell


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m triton_models.container",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--models", default="", help="which to serve, separated by commas (default: all)")
    options, more = parser.parse_known_args(arguments)
    try:
        serve([name for name in options.models.split(",") if name], more)
    except (LocalServerError, ModelError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
