"""
What the cloud's path adds to a job, beside the local profile, and how often a worker writes to Firestore.

Everything runs on this machine: web, webhooks, five workers, sweep, Google's emulators, and a Triton whose `upscale`
sleeps 200 ms and whose `enhance` reports its progress ten times a second for six seconds. Jobs go one after another,
and the two profiles take turns.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from websockets.sync.client import connect

from bench.cloud.emulators import cloud_site
from bench.photos import jpeg
from bench.platform_efficiency import TERMINAL, overhead
from bench.tables import Load, machine, percentile, table
from tests.running_site import ROOT, RunningSite
from triton_models.local_triton import LocalTriton

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS, JOBS_IN_A_ROUND, LONG_JOBS = 4, 20, 5


@dataclass(frozen=True)
class Writes:
    """What one job's worker wrote to the store, by the versions that its document went through."""

    claims: int
    progress: int
    last: int
    seconds: float

    @property
    def row(self) -> tuple[str, str, str]:
        counted = f"{self.claims} claim, {self.progress} of progress, {self.last} last"
        return f"a job of {self.seconds:.1f} s", counted, f"1 claim, ≤ {int(self.seconds)}, 1 last"


def writes(site: RunningSite, image: bytes) -> Writes:
    """Run one job of several seconds, and count every version of its document that came after the accepted one."""
    job_id = site.submit("enhance", image)["job_id"]
    seen: dict[int, dict[str, Any]] = {}
    address = f"ws://127.0.0.1:{site.port}/ws/jobs/{job_id}/"
    with connect(address, additional_headers={"X-API-Key": site.api_key}) as socket:
        while not seen or seen[max(seen)]["status"] not in TERMINAL:
            view = json.loads(socket.recv(timeout=60))
            seen[view["version"]] = view
    last = seen[max(seen)]
    assert last["status"] == "completed", last["error"]
    kinds = Counter("last" if view["status"] in TERMINAL else "progress" for view in seen.values())
    # Version 1 is the site's own, and each attempt begins with a claim; what no message told of was progress too.
    progress = last["version"] - 1 - last["attempt"] - kinds["last"]
    return Writes(last["attempt"], progress, kinds["last"], sum(last["timings"].values()) - last["timings"]["queued"])


def _row(what: str, added: Sequence[float], goal: str) -> tuple[str, str, str, str]:
    return what, f"{percentile(added, 50):.0f} ms", f"{percentile(added, 99):.0f} ms", goal


def main() -> None:
    image, load = jpeg(kilobytes=100), Load()
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    triton = LocalTriton(
        python=ROOT / ".venv-models/bin/python", log=folder / "triton.log", repositories=[ROOT / "bench/repository"]
    )
    local: list[float] = []
    cloud: list[float] = []
    with (
        triton,
        RunningSite(folder / "local", triton.grpc_url) as local_site,
        cloud_site(folder, triton.grpc_url) as site,
    ):
        # Whatever is done once, at the first job.
        overhead(local_site, image, jobs=3)
        overhead(site, image, jobs=3)
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS} …", file=sys.stderr)
            local += overhead(local_site, image, jobs=JOBS_IN_A_ROUND)
            cloud += overhead(site, image, jobs=JOBS_IN_A_ROUND)
        counted = [writes(site, image) for _ in range(LONG_JOBS)]
    print(f"{machine()}, {load}\n")
    rows = [
        (f"{len(cloud)} jobs each, one after another", "p50", "p99", "goal"),
        _row("local profile", local, ""),
        _row("cloud's path, on the emulators", cloud, "p50 < 250 ms"),
    ]
    print(table("Accepted to completed seen on the websocket, minus the Triton call", rows))
    print(table("Writes of a worker for each job", [("what", "measured", "goal"), *(each.row for each in counted)]))


if __name__ == "__main__":
    main()
