"""
What the site's images start (docker/Dockerfile): reads the environment, and then becomes the web server or the worker.

`python -m imagen_site.container api|worker`. What is missing or wrong is said in one sentence that names all of it,
before anything has begun.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from imagen_site import commands, config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagen_site.config import Config


def command(program: str, told: Config) -> tuple[str, ...]:
    """Return the arguments of Python for `api` or `worker`."""
    if program == "api":
        return commands.web(host="0.0.0.0", port=told.port)  # noqa: S104 - nobody but its host reaches a container
    return commands.worker("worker@%h", jobs=told.worker_jobs, queue=told.worker_queue)


def serve(program: str) -> NoReturn:
    """Become `api` or `worker`. Raises ConfigError where the environment does not fit."""
    told = config.load()
    # On one machine all are of one service, and it is not asked.
    fitting = ("worker",) if program == "worker" else ("site", "webhooks")
    if told.profile != "local" and told.service not in fitting:
        raise config.ConfigError(
            f"Cannot start: IMAGEN_SERVICE is {told.service!r}, and {program} runs {' or '.join(fitting)}."
        )
    os.execv(sys.executable, [sys.executable, *command(program, told)])  # noqa: S606 - a list, and no shell


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m imagen_site.container", description=__doc__)
    parser.add_argument("program", choices=("api", "worker"))
    try:
        serve(parser.parse_args(arguments).program)
    except config.ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
