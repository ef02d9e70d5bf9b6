"""
How soon an open page hears of a write, and what a thousand watched jobs cost one web process.

A process writes as the workers do, each job once a second at most, in the store of the profile; a websocket for each
job sees the write. From the beginning of the write to the message: the store's own time is in it. No worker, no sweep.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect

from bench.cloud.emulators import cloud_site
from bench.photos import jpeg
from bench.tables import Load, machine, percentile, table
from bench.worker import Highest, megabytes
from tests.running_site import RunningSite

if TYPE_CHECKING:
    from collections.abc import Sequence

SOCKETS, MANY, ROUNDS = 100, 1000, 3
# Of a hundred jobs: each five times a second in all, and each once a second, the most that workers write.
RATES, SECONDS = (20, 100), 15
_SETTLE_SECONDS = 60
_MOVES = "from bench.cloud.moves import main; main()"


@dataclass
class Pages:
    """A websocket for each job; when which version of it came."""

    site: RunningSite
    seen: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    async def open(self, job_ids: Sequence[str], sockets: AsyncExitStack) -> None:
        """Open them, a few at once, until each has its first snapshot."""
        few = asyncio.Semaphore(20)

        async def open_one(job_id: str) -> None:
            address = f"ws://127.0.0.1:{self.site.port}/ws/jobs/{job_id}/"
            key = {"X-API-Key": self.site.api_key}
            page = connect(address, additional_headers=key, open_timeout=60, ping_interval=None)
            async with few:
                socket = await sockets.enter_async_context(page)
                self._note(job_id, await asyncio.wait_for(socket.recv(), 60))
            self._readers.append(asyncio.create_task(self._read(job_id, socket)))

        await asyncio.gather(*(open_one(job_id) for job_id in job_ids))

    def __post_init__(self) -> None:
        self._readers: list[asyncio.Task[None]] = []

    async def _read(self, job_id: str, socket: object) -> None:
        async for message in socket:  # type: ignore[attr-defined]
            self._note(job_id, message)

    def _note(self, job_id: str, message: str | bytes) -> None:
        self.seen.setdefault(job_id, []).append((json.loads(message)["version"], time.perf_counter()))

    def when(self, job_id: str, version: int) -> float | None:
        """Return when this version came, or a newer one: a slow reader gets the newest."""
        return min((at for seen, at in self.seen[job_id] if seen >= version), default=None)


@dataclass
class Delays:
    """Milliseconds: from the beginning of each write to its message, and of each write itself."""

    seen: list[float] = field(default_factory=list)
    written: list[float] = field(default_factory=list)

    def row(self, what: str, goal: str = "") -> tuple[str, str, str, str, str]:
        own = f"{statistics.median(self.written):.1f} ms"
        return what, f"{percentile(self.seen, 50):.1f} ms", f"{percentile(self.seen, 99):.0f} ms", own, goal


async def delays(pages: Pages, job_ids: Sequence[str], *, a_second: int) -> Delays:
    """Write for some seconds, wait until every page has seen the last write, and return how long each took."""
    arguments = (_MOVES, "move", ",".join(job_ids), str(a_second * SECONDS), str(a_second))
    moved = json.loads(await asyncio.to_thread(partial(pages.site.python, *arguments, seconds=300)))
    newest = {job_id: version for job_id, version, _, _ in moved}
    end = time.perf_counter() + _SETTLE_SECONDS
    while any(pages.when(job_id, version) is None for job_id, version in newest.items()):
        assert time.perf_counter() < end, "a page has not heard of a write"
        await asyncio.sleep(0.05)
    found = Delays()
    for job_id, version, began, ended in moved:
        seen = pages.when(job_id, version)
        assert seen is not None
        found.seen.append((seen - began) * 1000)
        found.written.append((ended - began) * 1000)
    return found


async def a_hundred(site: RunningSite, job_ids: Sequence[str], found: dict[int, Delays]) -> None:
    async with AsyncExitStack() as sockets:
        pages = Pages(site)
        await pages.open(job_ids, sockets)
        for rate in RATES:
            more = await delays(pages, job_ids, a_second=rate)
            found[rate].seen += more.seen
            found[rate].written += more.written


@dataclass(frozen=True)
class Cost:
    """Of a web process: with one watched job, with many, and while they change."""

    threads: tuple[int, int]
    megabytes: tuple[float, float, float]
    delays: Delays


async def a_thousand(site: RunningSite, job_ids: Sequence[str]) -> Cost:
    pid = site.process("web").pid
    async with AsyncExitStack() as sockets:
        pages = Pages(site)
        await pages.open(job_ids[:1], sockets)
        await asyncio.sleep(2)
        before = _threads(pid), megabytes(pid)
        await pages.open(job_ids[1:], sockets)
        await asyncio.sleep(2)
        after = _threads(pid), megabytes(pid)
        with Highest(pid) as highest:
            while_changing = await delays(pages, job_ids, a_second=100)
    return Cost((before[0], after[0]), (before[1], after[1], highest.megabytes), while_changing)


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def _prepared(site: RunningSite) -> list[str]:
    """Return the ids of jobs that no worker takes."""
    site.submit("background/remove", jpeg(kilobytes=100))
    made: list[str] = json.loads(site.python(_MOVES, "make", str(MANY), seconds=300))
    return made


def _print(load: Load, found: dict[str, dict[int, Delays]], costs: dict[str, Cost]) -> None:
    print(f"{machine()}, {load}\n")
    goals = {"Firestore": "p50 < 15 ms"}
    rows = [
        found[store][rate].row(f"{store}, {rate} writes a second", goals.get(store, ""))
        for store in found
        for rate in RATES
    ]
    head = (f"{SOCKETS} sockets on one web process, {ROUNDS} rounds", "p50", "p99", "of it the write, p50", "goal")
    print(table("Write of a state to the message on the websocket", [head, *rows]))
    head = ("one web process", "1 watched job", f"{MANY:,} watched jobs", "while 100 a second change", "goal")
    rows = []
    for store, cost in costs.items():
        threads, (first, many, changing) = cost.threads, cost.megabytes
        rows.append((f"threads, {store}", str(threads[0]), str(threads[1]), "", "none more"))
        rows.append((f"memory, {store}", f"{first:.0f} MB", f"{many:.0f} MB", f"{changing:.0f} MB", "< 200 MB"))
        seen = f"p50 {percentile(cost.delays.seen, 50):.1f} ms, p99 {percentile(cost.delays.seen, 99):.0f} ms"
        rows.append((f"write to message, {store}", "", "", seen, ""))
    print(table("A thousand watched jobs", [head, *rows]))


def main() -> None:
    folder, load = Path(tempfile.mkdtemp(prefix="imagen-bench-")), Load()
    local = RunningSite(folder / "local", "127.0.0.1:9")
    with cloud_site(folder, "127.0.0.1:9", workers=False) as cloud:
        try:
            local.prepare()
            local.start_web()
            sites = {"Firestore": cloud, "SQL, looked at every 50 ms": local}
            jobs = {store: _prepared(site) for store, site in sites.items()}
            found = {store: {rate: Delays() for rate in RATES} for store in sites}
            for number in range(ROUNDS):
                print(f"round {number + 1} of {ROUNDS} …", file=sys.stderr)
                for store, site in sites.items():
                    asyncio.run(a_hundred(site, jobs[store][:SOCKETS], found[store]))
            costs = {}
            for store, site in sites.items():
                print(f"{MANY} watched jobs, {store} …", file=sys.stderr)
                site.stop_process("web")
                site.start_web()
                costs[store] = asyncio.run(a_thousand(site, jobs[store]))
        finally:
            local.stop()
    _print(load, found, costs)


if __name__ == "__main__":
    main()
