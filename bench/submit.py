"""
How fast photos are accepted: 1-MB JPEGs a second with one web process, against a bare endpoint in the same run.

The bare one (bench/baseline.py) saves the same file and inserts one row, as durably.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.photos import jpeg
from bench.tables import machine, median_and_range, table
from tests.running_site import ROOT, RunningSite, free_port, multipart, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PHOTOS, CLIENTS, ROUNDS = 200, 8, 5


def per_second(url: str, body: bytes, headers: dict[str, str]) -> float:
    """Return the photos a second that `url` accepts."""

    def send(_: int) -> None:
        request = urllib.request.Request(url, data=body, method="POST", headers=headers)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            assert answer.status == 202

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(send, range(PHOTOS)))
    return PHOTOS / (time.perf_counter() - began)


@contextmanager
def bare_endpoint(folder: Path) -> Iterator[str]:
    folder.mkdir()
    port = free_port()
    command = [str(Path(sys.executable).with_name("uvicorn")), "bench.baseline:app", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--no-access-log", "--log-level", "warning"],
        cwd=ROOT,
        env={**os.environ, "BASELINE_DIR": str(folder)},
    ) as server:

        def answers() -> bool:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            return False

        wait_until(answers, seconds=20, what="the start of the bare endpoint")
        yield f"http://127.0.0.1:{port}/upload"
        server.terminate()


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    body, content_type = multipart(jpeg(kilobytes=1000), "photo.jpg", {})
    headers = {"Content-Type": content_type}
    site = RunningSite(var_dir=folder / "var", triton_url="127.0.0.1:1")
    ours, bare = [], []
    with bare_endpoint(folder / "bare") as bare_url:
        site.prepare()
        site.start_web()
        try:
            url, key = f"{site.url}/api/v1/images/background/remove", {**headers, "X-API-Key": site.api_key}
            per_second(url, body, key)
            for number in range(ROUNDS):
                print(f"round {number + 1} of {ROUNDS} …", file=sys.stderr)
                bare.append(per_second(bare_url, body, headers))
                ours.append(per_second(url, body, key))
        finally:
            site.stop()
    ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
    print(f"{machine()}\n")
    rows = [
        ("what", "measured", "goal"),
        (f"bare endpoint, 1-MB photos a second, {CLIENTS} clients", median_and_range(bare), ""),
        ("the site, the same", median_and_range(ours), ""),
        ("ratio", median_and_range(ratios), "≥ 0.4"),
    ]
    print(table("Submit", rows))


if __name__ == "__main__":
    main()
