"""
How much of the model server's time the platform leaves unused, and what it adds to each job.

100 jobs of a 100 kB photo on a model that sleeps 200 ms whatever the batch, by 8 clients, through API, queue, worker
and store; against the same calls made straight to Triton with as many in flight. Then jobs one after another, for the
time from "accepted" to "completed" seen on the websocket, minus the Triton call.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from websockets.sync.client import connect

from bench.photos import jpeg
from bench.tables import machine, median_and_range, percentile, table
from inference.client import Cancellation, InferenceRequest
from inference.triton_client import TritonInferenceClient
from tests.running_site import ROOT, RunningSite
from triton_models.local_triton import LocalTriton

JOBS, CLIENTS, ROUNDS, ALONE = 100, 8, 3, 60
TERMINAL = {"completed", "failed", "cancelled"}


def straight(url: str, image: bytes, *, in_flight: int) -> float:
    """Return the seconds that the calls take without the platform."""
    client = TritonInferenceClient(url)

    def call(_: int) -> None:
        request = InferenceRequest(model="upscale", image=image, request_id=str(uuid4()), scale=4)
        client.infer(request, timeout=60, on_progress=lambda _: None, cancellation=Cancellation())

    call(0)
    with ThreadPoolExecutor(in_flight) as pool:
        began = time.perf_counter()
        list(pool.map(call, range(JOBS)))
        seconds = time.perf_counter() - began
    client.close()
    return seconds


def through_the_site(site: RunningSite, image: bytes) -> float:
    """Return the seconds from the first request to the last job seen completed on the websocket."""
    done: set[str] = set()
    finished, listening = threading.Event(), threading.Event()

    def listen() -> None:
        with connect(_socket(site), additional_headers={"X-API-Key": site.api_key}) as socket:
            listening.set()
            while len(done) < JOBS:
                view = json.loads(socket.recv(timeout=60))
                if view["status"] in TERMINAL:
                    assert view["status"] == "completed", view["error"]
                    done.add(view["job_id"])
        finished.set()

    listener = threading.Thread(target=listen)
    listener.start()
    listening.wait(10)
    time.sleep(0.3)
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: site.submit("upscale", image), range(JOBS)))
    finished.wait(120)
    seconds = time.perf_counter() - began
    listener.join()
    return seconds


def overhead(site: RunningSite, image: bytes, *, jobs: int = ALONE) -> list[float]:
    """Return each job's milliseconds, one after another, from accepted to seen completed, minus the Triton call."""
    added = []
    with connect(_socket(site), additional_headers={"X-API-Key": site.api_key}) as socket:
        for _ in range(jobs):
            job_id = site.submit("upscale", image)["job_id"]
            accepted = time.perf_counter()
            while True:
                view = json.loads(socket.recv(timeout=60))
                if view["job_id"] == job_id and view["status"] in TERMINAL:
                    break
            seconds = time.perf_counter() - accepted
            added.append((seconds - view["timings"]["inferring"]) * 1000)
    return added


def _socket(site: RunningSite) -> str:
    return f"ws://127.0.0.1:{site.port}/ws/jobs/"


def main() -> None:
    image = jpeg(kilobytes=100)
    folder = Path(tempfile.mkdtemp(prefix="imagen-bench-"))
    triton = LocalTriton(
        python=ROOT / ".venv-models/bin/python",
        log=folder / "triton.log",
        repositories=[ROOT / "bench/repository"],
    )
    with triton, RunningSite(var_dir=folder / "var", triton_url=triton.grpc_url) as site:
        through_the_site(site, image)
        direct, whole = [], []
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS} …", file=sys.stderr)
            direct.append(straight(triton.grpc_url, image, in_flight=site.concurrency))
            whole.append(through_the_site(site, image))
        added = overhead(site, image)
    ratios = [straight_seconds / seconds for straight_seconds, seconds in zip(direct, whole, strict=True)]
    print(f"{machine()}\n")
    print(
        table(
            "Platform",
            [
                ("what", "measured", "goal"),
                (f"{JOBS} jobs straight to Triton, {site.concurrency} in flight", median_and_range(direct, " s"), ""),
                (f"{JOBS} jobs through the site, {CLIENTS} clients", median_and_range(whole, " s"), ""),
                ("efficiency: straight / through the site", median_and_range(ratios), "≥ 0.85"),
                ("overhead of a job alone, p50", f"{percentile(added, 50):.0f} ms", "< 150 ms"),
                ("overhead of a job alone, p99", f"{percentile(added, 99):.0f} ms", "< 500 ms"),
            ],
        )
    )


if __name__ == "__main__":
    main()
