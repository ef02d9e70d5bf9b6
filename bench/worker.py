"""What a worker costs: seconds from its start to its first claim, memory idle and with a 12-megapixel photo."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

from bench.photos import jpeg
from bench.tables import machine, median_and_range, table
from tests.running_site import ROOT, RunningSite
from triton_models.local_triton import LocalTriton

STARTS = 5


def megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


class Highest:
    """The highest resident memory of a process while the block runs, sampled."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self.megabytes = 0.0
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(0.01):
            self._look()

    def _look(self) -> None:
        self.megabytes = max(self.megabytes, megabytes(self._pid))


def seconds_to_first_claim(site: RunningSite, image: bytes) -> float:
    """Start a worker while a job waits; return the seconds until the job is claimed."""
    job_id = str(site.submit("background/remove", image)["job_id"])
    began = time.perf_counter()
    site.start_worker()
    while site.job(job_id)["status"] == "queued":
        time.sleep(0.01)
    seconds = time.perf_counter() - began
    site.wait_for(job_id)
    site.stop_process("worker")
    return seconds


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    triton = LocalTriton(python=ROOT / ".venv-models/bin/python", log=folder / "triton.log")
    site = RunningSite(var_dir=folder / "var", triton_url=triton.grpc_url)
    small, large = jpeg(kilobytes=100), jpeg(megapixels=12)
    with triton:
        site.prepare()
        site.start_web()
        try:
            starts = [seconds_to_first_claim(site, small) for _ in range(STARTS)]
            site.start_worker()
            time.sleep(4)
            pid = site.process("worker").pid
            idle = megabytes(pid)
            print("a 12-megapixel photo goes through …", file=sys.stderr)
            with Highest(pid) as highest:
                site.wait_for(str(site.submit("background/remove", large)["job_id"]), "completed", seconds=180)
        finally:
            site.stop()
    print(f"{machine()}\n")
    rows = [
        ("what", "measured", "goal"),
        ("process start to first claim", median_and_range(starts, " s"), "< 3 s"),
        ("memory, idle", f"{idle:.0f} MB", "< 150 MB"),
        ("memory, a 12-megapixel photo goes through", f"{highest.megabytes:.0f} MB", "< 300 MB"),
    ]
    print(table("Worker", rows))


if __name__ == "__main__":
    main()
