from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from celery import Celery, current_app

from imagen_site.brokers.leased_queue import LeasedQueue
from imagen_site.brokers.sqlite import queue_depth
from imagen_site.queues import task_queues
from imagen_site.tests.pubsub import Cloud
from jobs import adapters, tasks, trace
from jobs.errors import Unavailable
from jobs.operations import OPERATIONS
from jobs.queue import RUN_JOB, CeleryJobQueue, ListJobQueue, job_id_of
from jobs.runner import Outcome
from tests.running_site import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from jobs.queue import JobQueue


def celery_app(path: Path) -> Celery:
    app = Celery("test", set_as_current=False)
    app.conf.update(
        broker_url="leased-sqlite://localhost",
        broker_transport="imagen_site.brokers.sqlite:Transport",
        broker_transport_options={"path": str(path), "busy_seconds": 0.2},
        task_queues=task_queues(),
        task_create_missing_queues=False,
    )
    return app


def messages(path: Path) -> list[tuple[UUID, str]]:
    """Take every message off the queue's file; returns job and topic."""
    found = []
    queue = LeasedQueue(path, lease_seconds=30)
    queue.open()
    for operation in OPERATIONS.values():
        while (claimed := queue.claim(operation.topic)) is not None:
            lease, payload = claimed
            message = json.loads(payload)
            _, kwargs, _ = json.loads(_body(message))
            assert set(kwargs) == {"job_id"}
            assert message["headers"]["task"] == RUN_JOB
            found.append((UUID(kwargs["job_id"]), operation.name))
            queue.remove(lease)
    queue.close()
    return found


def headers(path: Path) -> list[dict[str, str]]:
    """Take every message off the upscale queue's file; returns their headers."""
    found = []
    with closing(LeasedQueue(path, lease_seconds=30)) as queue:
        queue.open()
        while (claimed := queue.claim("upscale-jobs")) is not None:
            found.append(json.loads(claimed[1])["headers"])
    return found


def _body(message: dict[str, object]) -> str:
    import base64

    return base64.b64decode(str(message["body"])).decode()


def pubsub_app(cloud: Cloud, **options: float) -> Celery:
    app = Celery("test", set_as_current=False)
    app.conf.update(
        broker_url="pubsub://google",
        broker_transport="imagen_site.brokers.pubsub:Transport",
        broker_transport_options=cloud.options(**options),
        task_queues=task_queues(),
        task_create_missing_queues=False,
    )
    return app


def pubsub_messages(cloud: Cloud) -> list[tuple[UUID | None, str]]:
    """Take every message off the queues; returns job and topic."""
    return [
        (job_id_of(each.data), operation.name)
        for operation in OPERATIONS.values()
        # A queue that nobody published to was not made.
        if operation.topic in cloud.topics()
        for each in sorted(
            cloud.service.pull(operation.topic, limit=100, seconds=0.3), key=lambda each: each.message_id
        )
    ]


ON_PUBSUB = pytest.param("pubsub", marks=[pytest.mark.emulator, pytest.mark.xdist_group("emulators")])


@pytest.fixture(params=["list", "celery", ON_PUBSUB])
def queue(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[JobQueue, Callable[[], Sequence[tuple[UUID | None, str]]]]]:
    if request.param == "list":
        listed = ListJobQueue()
        yield listed, lambda: sorted(listed.published, key=lambda each: list(OPERATIONS).index(each[1]))
        return
    if request.param == "pubsub":
        # Started only where it is asked for.
        emulator = request.getfixturevalue("pubsub_emulator")
        cloud = Cloud(project=request.getfixturevalue("project"), emulator_host=emulator.host)
        with pubsub_app(cloud) as app:
            yield CeleryJobQueue(app), lambda: pubsub_messages(cloud)
        return
    app = celery_app(tmp_path / "queue.sqlite3")
    yield CeleryJobQueue(app), lambda: messages(tmp_path / "queue.sqlite3")
    app.close()


class TestEveryQueue:
    """The contract; a new queue joins the fixture above."""

    def test_holds_what_was_published_under_its_operation(self, queue: tuple[JobQueue, Callable[[], object]]) -> None:
        publisher, published = queue
        jobs = [(uuid4(), name) for name in OPERATIONS]

        for job_id, name in jobs:
            publisher.publish(job_id=job_id, operation=name)

        assert published() == jobs

    def test_may_be_given_a_job_twice(self, queue: tuple[JobQueue, Callable[[], object]]) -> None:
        publisher, published = queue
        job_id = uuid4()

        for _ in range(2):
            publisher.publish(job_id=job_id, operation="upscale")

        assert published() == [(job_id, "upscale")] * 2

    def test_takes_many_at_once(self, queue: tuple[JobQueue, Callable[[], object]]) -> None:
        publisher, published = queue
        jobs = [(uuid4(), name) for name in OPERATIONS]

        publisher.publish_many(jobs)

        assert published() == jobs


class TestTheCeleryQueue:
    def test_has_the_message_for_good_when_publish_returns(self, tmp_path: Path) -> None:
        code = f"""
import os
from pathlib import Path
from uuid import uuid4
from jobs.queue import CeleryJobQueue
from jobs.tests.test_queue import celery_app
CeleryJobQueue(celery_app(Path({str(tmp_path / "q.sqlite3")!r}))).publish(job_id=uuid4(), operation="upscale")
os._exit(9)
"""
        setup = "import os, django; os.environ['DJANGO_SETTINGS_MODULE']='imagen_site.settings'; django.setup()\n"
        subprocess.run([sys.executable, "-c", setup + code], cwd=ROOT, check=False, timeout=30)

        assert queue_depth(tmp_path / "q.sqlite3", "upscale-jobs")["ready"] == 1

    def test_sends_the_trace_along(self, tmp_path: Path) -> None:
        app = celery_app(tmp_path / "queue.sqlite3")
        with trace.begun() as step:
            CeleryJobQueue(app).publish(job_id=uuid4(), operation="upscale")
        CeleryJobQueue(app).publish(job_id=uuid4(), operation="upscale")
        app.close()

        first, second = headers(tmp_path / "queue.sqlite3")
        assert first["traceparent"] == step.traceparent
        assert trace.parse(second["traceparent"]) is not None

    def test_that_cannot_be_written_is_worth_a_retry(self, tmp_path: Path) -> None:
        (tmp_path / "folder").write_text("a file where the folder should be")
        app = celery_app(tmp_path / "folder" / "queue.sqlite3")

        with pytest.raises(Unavailable):
            CeleryJobQueue(app).publish(job_id=uuid4(), operation="upscale")
        with pytest.raises(Unavailable):
            CeleryJobQueue(app).publish_many([(uuid4(), "upscale")])
        app.close()


@pytest.mark.emulator
@pytest.mark.xdist_group("emulators")
class TestTheCeleryQueueInTheCloud:
    def test_that_cannot_be_reached_is_worth_a_retry(self) -> None:
        cloud = Cloud(project="photos", emulator_host="127.0.0.1:1")
        with pubsub_app(cloud, publish_seconds=0.3) as app:
            queue = CeleryJobQueue(app)

            with pytest.raises(Unavailable):
                queue.publish(job_id=uuid4(), operation="upscale")
            with pytest.raises(Unavailable):
                queue.publish_many([(uuid4(), "upscale")])


class TestTheTask:
    def test_is_known_under_the_name_it_is_sent_by(self) -> None:
        current_app.loader.import_default_modules()

        assert RUN_JOB in current_app.tasks

    def test_hands_only_a_released_job_back_to_the_queue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from celery.exceptions import Reject

        outcomes = [Outcome.ENDED, Outcome.DROPPED, Outcome.LOST, Outcome.RELEASED]

        class Runner:
            def run(self, _job_id: UUID) -> Outcome:
                return outcomes.pop(0)

        monkeypatch.setattr(adapters, "runner", Runner)

        for _ in range(3):
            tasks.run_job(job_id=str(uuid4()))
        with pytest.raises(Reject) as rejected:
            tasks.run_job(job_id=str(uuid4()))
        assert rejected.value.requeue

    def test_works_as_a_step_of_the_trace_that_the_message_came_with(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []

        class Runner:
            def run(self, _job_id: UUID) -> Outcome:
                seen.append(trace.current())
                return Outcome.ENDED

        monkeypatch.setattr(adapters, "runner", Runner)
        sent = trace.begin()

        for sent_with in ({"traceparent": sent.traceparent}, {"traceparent": 17}, {}):
            tasks.run_job.push_request(**sent_with)
            tasks.run_job(job_id=str(uuid4()))
            tasks.run_job.pop_request()

        first, *others = seen
        assert first is not None
        assert (first.trace_id, first.span_id != sent.span_id) == (sent.trace_id, True)
        assert all(step is not None and step.trace_id != sent.trace_id for step in others)

    def test_takes_what_a_newer_publisher_adds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Runner:
            def run(self, _job_id: UUID) -> Outcome:
                return Outcome.ENDED

        monkeypatch.setattr(adapters, "runner", Runner)

        tasks.run_job(job_id=str(uuid4()), priority="high")


class TestAWorker:
    def test_never_loads_a_model_library(self) -> None:
        code = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "imagen_site.settings"
import imagen_site
imagen_site.celery_app.loader.import_default_modules()
from jobs import adapters
adapters.runner()
print([name for name in ("torch", "diffusers", "transformers", "onnxruntime", "ncnn", "cv2") if name in sys.modules])
"""
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )

        assert done.stdout.strip() == "[]", done.stderr
