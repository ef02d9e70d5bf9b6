"""Publishing to a queue's file and taking from it, and the accidents that can befall it."""

import base64
import json
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kombu import Connection, Exchange, Producer, Queue

NAME = "upscale-jobs"
JOBS = Queue(NAME, Exchange(NAME), routing_key=NAME)
EMPTY = {"ready": 0, "leased": 0, "dead": 0}


def publish(connection: Connection, *bodies: Any, **options: Any) -> None:
    producer = Producer(connection, serializer="json")
    for body in bodies:
        producer.publish(body, exchange=JOBS.exchange, routing_key=NAME, declare=[JOBS], **options)


def get(connection: Connection, **options: Any) -> Any:
    return JOBS(connection.default_channel).get(**options)


def insert(path: Path, payload: str | bytes) -> None:
    with sqlite3.connect(path) as db:
        db.execute(
            "INSERT INTO message (queue, position, payload) SELECT ?, COALESCE(MAX(position), 0) + 1, ? FROM message",
            (NAME, payload),
        )
    db.close()


def task_payload(body: str, *, content_type: str = "application/json", **headers: Any) -> str:
    """What Celery publishes for a task, with this body."""
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-type": content_type,
            "content-encoding": "utf-8",
            "headers": {"task": "run_job", "id": "7", **headers},
            "properties": {"body_encoding": "base64", "delivery_info": {"exchange": NAME, "routing_key": NAME}},
        }
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        lock.close()


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """No file of this process may grow beyond the size of the queue's file and its log."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(file.stat().st_size for file in path.parent.iterdir() if not file.name.endswith("-shm"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
