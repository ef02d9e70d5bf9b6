"""A Celery app on the leased queue, for real workers in test_sqlite_worker.py: each task writes down what it did."""

import os
import time
from pathlib import Path

from celery import Celery
from kombu import Exchange, Queue

QUEUE = "upscale-jobs"

app = Celery("sqlite_worker_app")
app.conf.update(
    broker_url="leased-sqlite://localhost",
    broker_transport="imagen_site.brokers.sqlite:Transport",
    broker_transport_options={
        "path": os.environ.get("TEST_QUEUE_PATH", "unset.sqlite3"),
        "lease_seconds": float(os.environ.get("TEST_LEASE_SECONDS", "30")),
        "polling_interval": 0.02,
        "busy_seconds": 0.2,
    },
    broker_connection_retry_on_startup=True,
    task_queues=[Queue(QUEUE, Exchange(QUEUE), routing_key=QUEUE)],
    task_default_queue=QUEUE,
    task_create_missing_queues=False,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
)


@app.task(name="sqlite.work")
def work(*, number: int, seconds: float = 0.0) -> None:
    _write_down("start", number)
    time.sleep(seconds)
    _write_down("end", number)


def _write_down(event: str, number: int) -> None:
    # One write of a file opened for appending is whole, also between processes.
    record = os.open(Path(os.environ["TEST_RECORD_PATH"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(record, f"{event} {number} {time.time()}\n".encode())
    os.close(record)
