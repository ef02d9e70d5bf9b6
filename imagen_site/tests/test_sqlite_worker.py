"""Real Celery workers on the leased queue, killed and stopped as machines do it."""

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from imagen_site.brokers.sqlite import dead_messages, queue_depth
from imagen_site.tests.sqlite_worker_app import QUEUE, app

pytestmark = pytest.mark.processes

EMPTY = {"ready": 0, "leased": 0, "dead": 0}
ROOT = Path(__file__).parents[2]


class Workers:
    """A queue's file, those who work on it, and what their tasks wrote down."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "queue.sqlite3"
        self._record = folder / "record.txt"
        self.log = folder / "workers.log"
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *, concurrency: int = 4, lease_seconds: float = 30) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "imagen_site.tests.sqlite_worker_app",
            "worker",
            "-P",
            "threads",
        ]
        command += ["-c", str(concurrency), "--without-mingle", "--without-gossip", "--without-heartbeat", "-l", "INFO"]
        environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        environment |= {
            "PYTHONPATH": str(ROOT),
            "TEST_QUEUE_PATH": str(self.path),
            "TEST_RECORD_PATH": str(self._record),
            "TEST_LEASE_SECONDS": str(lease_seconds),
        }
        with self.log.open("ab") as log:
            worker = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
        self._running.append(worker)
        return worker

    def publish(self, count: int, *, seconds: float = 0.0) -> None:
        with self._publisher() as publisher, publisher.connection_for_write() as connection:
            for number in range(count):
                publisher.send_task("sqlite.work", kwargs={"number": number, "seconds": seconds}, connection=connection)

    def publish_raw(self, payload: str) -> None:
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute(
                "INSERT INTO message (queue, position, payload) SELECT ?, COALESCE(MAX(position), 0) + 1, ? FROM message",
                (QUEUE, payload),
            )

    def events(self, kind: str) -> list[int]:
        """The numbers of the tasks that started, or ended, in that order."""
        lines = self._record.read_text().splitlines() if self._record.exists() else []
        return [int(number) for event, number, _ in map(str.split, lines) if event == kind]

    def busy_seconds(self) -> float:
        times = [float(line.split()[2]) for line in self._record.read_text().splitlines()]
        return times[-1] - times[0]

    def wait(self, reached: Callable[[], bool], *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.02)

    def wait_for_empty(self) -> None:
        self.wait(lambda: queue_depth(self.path, QUEUE) | {"dead": 0} == EMPTY)

    def stop(self) -> None:
        for worker in self._running:
            worker.terminate()
        for worker in self._running:
            try:
                worker.wait(timeout=10)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def _publisher(self) -> Celery:
        publisher = Celery("publisher", set_as_current=False)
        publisher.conf.update(app.conf.changes)
        publisher.conf.broker_transport_options = {**app.conf.broker_transport_options, "path": str(self.path)}
        return publisher


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path)
    yield workers
    workers.stop()


def task_payload(body: str, **headers: Any) -> str:
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": "sqlite.work", "id": "7", **headers},
            "properties": {"body_encoding": "base64", "delivery_info": {"exchange": QUEUE, "routing_key": QUEUE}},
        }
    )


class TestAKilledWorker:
    def test_has_its_task_done_again_by_another_one_time(self, workers: Workers) -> None:
        workers.publish(1, seconds=1.5)
        victim = workers.start(lease_seconds=1)
        workers.wait(lambda: workers.events("start") == [0])

        victim.kill()
        workers.start(lease_seconds=1)
        workers.wait_for_empty()

        # The second run takes longer than a lease: had the lease not been renewed, there were a third.
        assert workers.events("start") == [0, 0]
        assert workers.events("end") == [0]


class TestAStoppedWorker:
    def test_loses_nothing_and_has_nothing_run_twice(self, workers: Workers) -> None:
        workers.publish(40, seconds=0.1)
        first = workers.start()
        workers.wait(lambda: len(workers.events("end")) >= 12)

        first.send_signal(signal.SIGTERM)
        first.wait(timeout=10)
        held_after_stop = queue_depth(workers.path, QUEUE)["leased"]
        done_by_first = len(workers.events("end"))
        workers.start()
        workers.wait_for_empty()

        assert 12 <= done_by_first < 40
        assert held_after_stop == 0
        assert Counter(workers.events("start")) == Counter(range(40))
        assert Counter(workers.events("end")) == Counter(range(40))


class TestAPoisonedMessage:
    def test_is_parked_and_blocks_nobody_even_with_one_thread(self, workers: Workers) -> None:
        workers.publish(2)
        for poison in (
            "{not json",
            task_payload("{not json"),
            task_payload("[[], {}]"),
            task_payload("[[], {}, {}]", task="unknown"),
        ):
            workers.publish_raw(poison)
        workers.publish(2)

        worker = workers.start(concurrency=1)
        workers.wait_for_empty()

        assert Counter(workers.events("end")) == Counter([0, 1, 0, 1])
        assert len(dead_messages(workers.path, QUEUE)) == 4
        assert worker.poll() is None

    def test_does_not_end_the_worker_when_celery_chokes_on_its_headers(self, workers: Workers) -> None:
        workers.publish(1)
        workers.publish_raw(task_payload("[[], {}, {}]", id=None, retries="many", expires="never", eta=7))
        workers.publish(1)

        worker = workers.start(concurrency=1)
        workers.wait(lambda: len(workers.events("end")) == 2)

        assert worker.poll() is None
        assert queue_depth(workers.path, QUEUE)["ready"] + queue_depth(workers.path, QUEUE)["dead"] <= 1


class TestTwoWorkers:
    def test_share_a_queue_and_no_message(self, workers: Workers) -> None:
        workers.publish(300)

        workers.start()
        workers.start()
        workers.wait_for_empty()

        assert Counter(workers.events("start")) == Counter(range(300))
        print(f"\n300 empty tasks, two workers of 4 threads: {300 / workers.busy_seconds():.0f} a second")  # noqa: T201


class TestALockedFile:
    def test_delays_the_ack_of_a_running_task_and_no_more(self, workers: Workers) -> None:
        workers.publish(1, seconds=0.5)
        worker = workers.start(lease_seconds=1)
        workers.wait(lambda: workers.events("start") == [0])

        with closing(sqlite3.connect(workers.path, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            workers.wait(lambda: "queue_settlement_delayed" in workers.log.read_text())
        workers.publish(1)
        workers.wait_for_empty()

        assert workers.events("start") == [0, 0]
        assert worker.poll() is None
