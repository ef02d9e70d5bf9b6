"""Real Celery workers on Pub/Sub's emulator, killed and stopped as machines do it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery

from imagen_site.tests.broker import task_payload
from imagen_site.tests.pubsub import Cloud
from imagen_site.tests.pubsub_worker_app import QUEUE, app
from tests.running_site import ROOT

pytestmark = [pytest.mark.emulator, pytest.mark.processes, pytest.mark.xdist_group("emulators")]


class Workers:
    """Those who work on the queue, and what their tasks wrote down."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self._cloud = cloud
        self._record = folder / "record.txt"
        self._log = folder / "workers.log"
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *, concurrency: int = 4, **options: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "imagen_site.tests.pubsub_worker_app", "worker"]
        command += ["-P", "threads", "-c", str(concurrency), "--without-mingle", "--without-gossip"]
        environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"} | {
            "PYTHONPATH": str(ROOT),
            "TEST_QUEUE_OPTIONS": json.dumps(self._cloud.options(pull_seconds=1.0, **options)),
            "TEST_RECORD_PATH": str(self._record),
        }
        with self._log.open("ab") as log:
            worker = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
        self._running.append(worker)
        return worker

    def publish(self, count: int, *, seconds: float = 0.0) -> None:
        publisher = Celery("publisher", set_as_current=False)
        publisher.conf.update(app.conf.changes)
        publisher.conf.broker_transport_options = self._cloud.options()
        with publisher, publisher.connection_for_write() as connection:
            for number in range(count):
                publisher.send_task("pubsub.work", kwargs={"number": number, "seconds": seconds}, connection=connection)

    def events(self, kind: str) -> list[int]:
        """The numbers of the tasks that started, or ended, in that order."""
        return [int(number) for event, number, _ in self._lines() if event == kind]

    def deliveries(self) -> list[int]:
        """Of every start, the count that Pub/Sub gave."""
        return [int(delivery) for event, _, delivery in self._lines() if event == "start"]

    def wait(self, reached: Callable[[], bool], *, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, self._log.read_text()[-3000:]
            time.sleep(0.02)

    def stop(self) -> None:
        for worker in self._running:
            worker.kill()
            worker.wait()

    def _lines(self) -> list[list[str]]:
        return [line.split() for line in self._record.read_text().splitlines()] if self._record.exists() else []


@pytest.fixture
def workers(cloud: Cloud, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(cloud, tmp_path)
    yield workers
    workers.stop()


class TestAKilledWorker:
    def test_has_its_task_done_again_by_another_one_time(self, workers: Workers, cloud: Cloud) -> None:
        workers.publish(1, seconds=2.5)
        victim = workers.start(lease_seconds=2)
        workers.wait(lambda: workers.events("start") == [0])
        # From then on the lease is ours, and no longer the ten minutes of the subscription.
        time.sleep(0.9)

        victim.kill()
        workers.start(lease_seconds=2)
        workers.wait(lambda: workers.events("end") == [0])

        # The second run takes longer than a lease: had it not been extended, there were a third.
        assert workers.events("start") == [0, 0]
        assert workers.deliveries() == [1, 2]
        assert cloud.waiting() == 0


class TestAStoppedWorker:
    def test_hands_back_at_once_what_it_had_not_begun(self, workers: Workers, cloud: Cloud) -> None:
        workers.publish(30, seconds=0.1)
        worker = workers.start()
        workers.wait(lambda: len(workers.events("end")) >= 8)

        worker.send_signal(signal.SIGTERM)
        began = time.monotonic()
        worker.wait(timeout=20)
        took = time.monotonic() - began

        done = Counter(workers.events("end"))
        assert took < 8
        assert set(done.values()) == {1}
        assert Counter(workers.events("start")) == done
        # Nothing of it waits for the subscription's ten minutes, and what is no task holds nobody up.
        for poison in ("{not json", task_payload("[[], {}]"), task_payload("[[], {}, {}]", task="unknown")):
            cloud.insert(poison.encode())
        second = workers.start()
        workers.wait(lambda: len(workers.events("end")) >= 30)
        second.send_signal(signal.SIGTERM)
        second.wait(timeout=20)
        assert Counter(workers.events("end")) == Counter(range(30))
        assert cloud.waiting(QUEUE) == 0
