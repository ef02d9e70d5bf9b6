"""
How much memory web needs on Cloud Run: at rest, with open pages, and while photos come in.

Cloud Run's file system is memory too, so what a process has in its temporary files counts: a body that is received lies
there. In the cloud's profile, over the emulators; PSS of the one process, sampled.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from PIL import Image

from bench.cloud.emulators import cloud_site
from bench.cloud.watching import Pages
from bench.engines import server_memory
from bench.photos import jpeg
from bench.tables import Load, machine, table
from bench.worker import Highest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.running_site import RunningSite

SOCKETS, AT_ONCE, ROUNDS = 50, (1, 2, 4), 3
# Of three bytes each: a little less than the 30 MB that the site takes.
_SIDE = 3150
_SETTLE_SECONDS = 2
_MOVES = "from bench.cloud.moves import main; main()"


class Peak(Highest):
    """The most memory of a process, and of its deleted files in a folder, while the block runs; in MB."""

    def __init__(self, pid: int, folder: Path) -> None:
        super().__init__(pid)
        self._folder = folder
        self.own = self.with_files = 0.0

    def _look(self) -> None:
        own = server_memory(self._pid)
        self.own = max(self.own, own)
        self.with_files = max(self.with_files, own + open_files(self._pid, self._folder))


def open_files(pid: int, folder: Path) -> float:
    """Return the size of the files that a process has open in a folder, deleted ones too, in MB."""
    total = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            status = descriptor.stat()
            if S_ISREG(status.st_mode) and str(descriptor.readlink()).startswith(str(folder)):
                total += status.st_size
    return total / 2**20


def photo() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((_SIDE, _SIDE), 90).convert("RGB").save(file, "PNG", compress_level=0)
    return file.getvalue()


def send(site: RunningSite, image: bytes, *, at_once: int) -> None:
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda _: site.submit("enhance", image, filename="photo.png"), range(at_once * ROUNDS)))


async def with_pages(site: RunningSite, job_ids: list[str], measure: Callable[[], float]) -> float:
    async with AsyncExitStack() as sockets:
        await Pages(site).open(job_ids, sockets)
        await asyncio.sleep(_SETTLE_SECONDS)
        return measure()


def rows(site: RunningSite, files: Path) -> list[tuple[str, ...]]:
    pid = site.process("web").pid
    found = [("at rest", f"{server_memory(pid):.0f} MB", "")]
    job_ids: list[str] = json.loads(site.python(_MOVES, "make", str(SOCKETS), seconds=300))
    pages = asyncio.run(with_pages(site, job_ids, lambda: server_memory(pid)))
    found.append((f"with {SOCKETS} open pages", f"{pages:.0f} MB", ""))
    image = photo()
    for at_once in AT_ONCE:
        print(f"{at_once} at once …", file=sys.stderr)
        with Peak(pid, files) as peak:
            send(site, image, at_once=at_once)
        what = f"taking photos of {len(image) / 2**20:.0f} MB, {at_once} at once"
        found.append((what, f"{peak.own:.0f} MB", f"{peak.with_files:.0f} MB"))
    return found


def main() -> None:
    folder, load = Path(tempfile.mkdtemp(prefix="imagen-bench-")), Load()
    files = folder / "temporary"
    files.mkdir()
    with cloud_site(folder, "127.0.0.1:9", workers=False, TMPDIR=str(files)) as site:
        site.submit("background/remove", jpeg(kilobytes=100))
        found = rows(site, files)
    print(f"{machine()}, {load}\n")
    head = ("web, cloud's profile", "its own", "with its temporary files")
    print(table("Memory of web", [head, *found]))


if __name__ == "__main__":
    main()
