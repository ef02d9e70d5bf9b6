"""
How fast the cloud's queue takes jobs and gives them out, on Google's Pub/Sub emulator.

Each publish is confirmed before the next begins, or before its batch ends; then a consumer with as much in hand as a
worker of four threads takes them. On loopback: a round trip to the cloud takes some 10 to 20 ms more, which publishing
one by one pays for each, and a batch once.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import suppress
from uuid import uuid4

from celery import Celery
from kombu import Connection, Consumer, Queue

from bench.cloud.emulators import emulators
from bench.tables import Load, machine, table
from imagen_site.queues import task_queues
from jobs.operations import OPERATIONS
from jobs.queue import CeleryJobQueue

ONE_BY_ONE, BATCHED, ROUNDS, THREADS = 200, 2000, 5, 4


def celery_app(emulator_host: str) -> Celery:
    app = Celery("bench", set_as_current=False)
    app.conf.update(
        broker_url="pubsub://google",
        broker_transport="imagen_site.brokers.pubsub:Transport",
        broker_transport_options={"project": "bench-project", "emulator_host": emulator_host, "create_missing": True},
        task_queues=task_queues(),
        task_create_missing_queues=False,
    )
    return app


def published_a_second(queue: CeleryJobQueue, count: int, *, batched: bool) -> float:
    jobs = [(uuid4(), "upscale") for _ in range(count)]
    began = time.perf_counter()
    if batched:
        queue.publish_many(jobs)
    else:
        for job_id, operation in jobs:
            queue.publish(job_id=job_id, operation=operation)
    return count / (time.perf_counter() - began)


def drained_a_second(app: Celery, count: int) -> float:
    topic = next(queue for queue in task_queues() if queue.name == OPERATIONS["upscale"].topic)
    with app.connection_for_read() as connection:
        began = time.perf_counter()
        _consume(connection, topic, count)
        return count / (time.perf_counter() - began)


def _consume(connection: Connection, queue: Queue, count: int) -> None:
    taken = 0

    def take(_body: object, message: object) -> None:
        nonlocal taken
        message.ack()  # type: ignore[attr-defined]
        taken += 1

    with Consumer(connection, [queue], callbacks=[take], prefetch_count=THREADS):
        while taken < count:
            with suppress(TimeoutError):
                connection.drain_events(timeout=1)


def _rates(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def main() -> None:
    load = Load()
    with emulators("pubsub") as hosts, celery_app(hosts["PUBSUB_EMULATOR_HOST"]) as app:
        queue = CeleryJobQueue(app)
        published_a_second(queue, 20, batched=False)
        drained_a_second(app, 20)
        single, batched, drained = [], [], []
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS} …", file=sys.stderr)
            single.append(published_a_second(queue, ONE_BY_ONE, batched=False))
            batched.append(published_a_second(queue, BATCHED, batched=True))
            drained.append(drained_a_second(app, ONE_BY_ONE + BATCHED))
    rows = [
        ("what", "measured", "goal"),
        ("confirmed publishes a second, one by one", _rates(single), "≥ 50"),
        (f"confirmed publishes a second, {BATCHED} in a batch", _rates(batched), "≥ 500"),
        (f"messages drained a second, {THREADS} in hand", _rates(drained), ""),
    ]
    print(f"{machine()}, {load}\n")
    print(table("Queue in the cloud, on the emulator", rows))


if __name__ == "__main__":
    main()
