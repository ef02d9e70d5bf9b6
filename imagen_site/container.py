"""
What the site's images start (docker/Dockerfile): reads the environment, and goes on as the web server or the worker.

`python -m imagen_site.container api|worker`. What is missing or wrong is said in one sentence that names all of it,
before anything has begun.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from typing import TYPE_CHECKING

from imagen_site import commands, config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagen_site.config import Config


def command(program: str, told: Config) -> tuple[str, ...]:
    """Return the arguments of Python for `api` or `worker`."""
    if program == "api":
        return commands.web(host="0.0.0.0", port=told.port)  # noqa: S104 - nobody but its host reaches a container
    return commands.worker("worker@%h", jobs=told.worker_jobs, queue=told.worker_queue)


def serve(program: str) -> None:
    """Go on as `api` or `worker` until it ends. Raises ConfigError where the environment does not fit."""
    told = config.load()
    # On one machine all are of one service, and it is not asked.
    fitting = ("worker",) if program == "worker" else ("site", "webhooks")
    if told.profile != "local" and told.service not in fitting:
        raise config.ConfigError(
            f"Cannot start: IMAGEN_SERVICE is {told.service!r}, and {program} runs {' or '.join(fitting)}."
        )
    _, module, *arguments = command(program, told)
    sys.argv = [module, *arguments]
    # In this process: a new one would import Celery a second time, half a second of a start.
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m imagen_site.container", description=__doc__)
    parser.add_argument("program", choices=("api", "worker"))
    try:
        serve(parser.parse_args(arguments).program)
    except config.ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
