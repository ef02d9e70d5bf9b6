"""A Celery app on Pub/Sub's emulator, for real workers in test_pubsub_worker.py; its task writes down what it did."""

import json
import os
import time
from pathlib import Path

from celery import Celery
from kombu import Exchange, Queue

QUEUE = "upscale-jobs"

app = Celery("pubsub_worker_app")
app.conf.update(
    broker_url="pubsub://google",
    broker_transport="imagen_site.brokers.pubsub:Transport",
    broker_transport_options=json.loads(os.environ.get("TEST_QUEUE_OPTIONS", '{"project": "unset"}')),
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


@app.task(name="pubsub.work", bind=True)
def work(self: object, *, number: int, seconds: float = 0.0) -> None:
    _write_down("start", number, self.request.delivery_attempt)  # type: ignore[attr-defined]
    time.sleep(seconds)
    _write_down("end", number, self.request.delivery_attempt)  # type: ignore[attr-defined]


def _write_down(event: str, number: int, delivery: int) -> None:
    # One write of a file opened for appending is whole, also between processes.
    record = os.open(Path(os.environ["TEST_RECORD_PATH"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(record, f"{event} {number} {delivery}\n".encode())
    os.close(record)
