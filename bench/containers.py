"""
How long the images take to start: to the first byte of the api, to a worker's first claim, and in processor time.

The baseline is the same program of this checkout outside a container, in turns with it. Needs root (tests/images).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.cloud.emulators import cloud_site
from bench.photos import jpeg
from bench.tables import Load, machine, median_and_range, table
from tests.images import containers
from tests.images.build import Images, build
from tests.running_site import ROOT, RunningSite, answers, free_port
from triton_models.local_triton import LocalTriton

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

STARTS = 3
_QUEUE = "background-remove-jobs"


class Cost(NamedTuple):
    """Of a start until now: seconds by the clock, and those of a processor, to which a busy machine adds little."""

    seconds: float
    processor: float


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return sum(int(field) for field in fields[11:13]) / os.sysconf("SC_CLK_TCK")


class Start:
    """A way to start a program of the images: in its container, or outside."""

    def __init__(self, images: Images, image: str, folder: Path) -> None:
        self._images, self._image, self._folder = images, image, folder

    @contextmanager
    def contained(self, told: Mapping[str, str]) -> Iterator[Callable[[], Cost]]:
        """Yield what says the cost so far. The files are laid out before, as those of an image that was pulled are."""
        buildah, image = self._images.buildah, getattr(self._images, self._image)
        with buildah.mounted(image) as root:
            configuration = buildah.describe(image)["config"]
            began = time.perf_counter()
            container = containers.start(root, configuration, self._folder, told, ())
            try:
                yield lambda: Cost(time.perf_counter() - began, processor_seconds(container.pid))
                # What it holds would come back a minute later, and to the next one.
                container.stop()
            finally:
                container.remove()

    @contextmanager
    def outside(self, told: Mapping[str, str]) -> Iterator[Callable[[], Cost]]:
        service = {"IMAGEN_SERVICE": "worker"} if self._image == "worker" else {}
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "imagen_site.container", self._image],
            cwd=ROOT,
            env={**os.environ, **service, **told},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield lambda: Cost(time.perf_counter() - began, processor_seconds(process.pid))
                process.terminate()
                process.wait(30)
            finally:
                process.kill()

    def both(self, measure: Callable[[Callable[..., Any]], Cost]) -> tuple[list[Cost], list[Cost]]:
        """Measure both ways in turns; the first round only warms the disk."""
        rounds = [(measure(self.contained), measure(self.outside)) for _ in range(STARTS + 1)][1:]
        inside, outside = zip(*rounds, strict=True)
        return list(inside), list(outside)


def wait_closely(condition: Callable[[], bool]) -> None:
    """Wait by looking a hundred times a second. Raises TimeoutError after two minutes."""
    end = time.monotonic() + 120
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("It did not start within two minutes.")
        time.sleep(0.01)


def first_byte(told: Mapping[str, str]) -> Callable[..., Cost]:
    def measure(start: Callable[..., Any]) -> Cost:
        port = free_port()
        with start({**told, "PORT": str(port)}) as cost:
            wait_closely(lambda: answers(f"http://127.0.0.1:{port}/livez"))
            return cost()

    return measure


def first_claim(site: RunningSite, told: Mapping[str, str]) -> Callable[..., Cost]:
    image = jpeg(kilobytes=100)

    def measure(start: Callable[..., Any]) -> Cost:
        job_id = str(site.submit("background/remove", image)["job_id"])
        with start({**told, "WORKER_QUEUE": _QUEUE}) as cost:
            wait_closely(lambda: site.job(job_id)["status"] != "queued")
            claimed = cost()
            site.wait_for(job_id)
        return claimed

    return measure


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    images, load = build(folder), Load()
    with (
        LocalTriton(python=ROOT / ".venv-models/bin/python", log=folder / "triton.log") as triton,
        cloud_site(folder, triton.grpc_url, workers=False) as site,
    ):
        told = {
            **site.settings,
            "TRITON_URL": triton.grpc_url,
            "SECRET_KEY": "of the containers of one benchmark alone",
            # Neither is asked before the first byte, and a worker knows none.
            "DATABASE_URL": "sqlite:////tmp/none.sqlite3",
        }
        api = Start(images, "api", folder).both(first_byte(told))
        worker = Start(images, "worker", folder).both(first_claim(site, told))
    rows = [("what", "in its container", "outside", "ratio of the medians", "goal")]
    rows += _rows("api, start to the first byte", api, "< 3 s")
    rows += _rows("worker, start to the first claim", worker, "< 5 s")
    sizes = "; ".join(f"{name} {images.buildah.megabytes(getattr(images, name)):.0f} MB" for name in ("api", "worker"))
    print(f"{machine()}; {load}; {sizes}\n")
    print(table("Containers", rows))


def _rows(what: str, costs: tuple[list[Cost], list[Cost]], goal: str) -> list[tuple[str, ...]]:
    inside, outside = costs
    return [
        _row(what, [cost.seconds for cost in inside], [cost.seconds for cost in outside], goal),
        _row("… in processor time", [cost.processor for cost in inside], [cost.processor for cost in outside], ""),
    ]


def _row(what: str, inside: list[float], outside: list[float], goal: str) -> tuple[str, ...]:
    ratio = median(inside) / median(outside)
    return (what, median_and_range(inside, " s"), median_and_range(outside, " s"), f"{ratio:.2f}", goal)


if __name__ == "__main__":
    main()
