"""`python -m bench.cloud`: every table of the cloud's path, or those whose names are given."""

from __future__ import annotations

import sys

from bench.cloud import jobs, memory, queue, watching

TABLES = {"queue": queue.main, "jobs": jobs.main, "watching": watching.main, "memory": memory.main}


def main(*names: str) -> None:
    for name in names or TABLES:
        TABLES[name]()


if __name__ == "__main__":
    main(*sys.argv[1:])
