import base64
import json
import logging
import resource
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import OperationalError

from imagen_site.brokers import sqlite
from imagen_site.brokers.sqlite import Options, dead_messages, queue_depth

NAME = "upscale-jobs"
JOBS = Queue(NAME, Exchange(NAME), routing_key=NAME)
EMPTY = {"ready": 0, "leased": 0, "dead": 0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.sqlite3"


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[..., Connection]]:
    """Connections to the queue's file, each as another process would have it."""
    opened = []

    def connect(**options: Any) -> Connection:
        connection = Connection(
            "leased-sqlite://localhost",
            transport="imagen_site.brokers.sqlite:Transport",
            transport_options={"path": str(path), "polling_interval": 0.005, "busy_seconds": 0.05, **options},
        )
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.release()


@pytest.fixture
def connection(connect: Callable[..., Connection]) -> Connection:
    return connect()


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


class TestOptions:
    def test_have_defaults_for_all_but_the_path(self) -> None:
        options = Options.parse({"path": "queue.sqlite3"})

        assert (options.lease_seconds, options.max_deliveries, options.max_lease_seconds) == (30, 100, 3600)

    def test_name_the_missing_path(self) -> None:
        with pytest.raises(ValueError, match="'path'"):
            Options.parse({})

    @pytest.mark.parametrize("bad", [0, -1, "30", None])
    def test_name_the_number_that_is_none(self, bad: object) -> None:
        with pytest.raises(ValueError, match="'lease_seconds' must be a number above 0"):
            Options.parse({"path": "queue.sqlite3", "lease_seconds": bad})


class TestPublish:
    def test_arrives_at_another_connection(self, connect: Callable[..., Connection]) -> None:
        publish(connect(), {"job_id": "1"})

        assert get(connect()).payload == {"job_id": "1"}

    def test_goes_on_when_the_file_is_free_again_within_the_retries(self, connection: Connection, path: Path) -> None:
        publish(connection, "first")
        lock = locked(path)
        lock.__enter__()

        publish(
            connection,
            "second",
            retry=True,
            retry_policy={"max_retries": 3, "interval_start": 0, "errback": lambda *_: lock.__exit__(None, None, None)},
        )

        assert queue_depth(path, NAME)["ready"] == 2

    def test_raises_kombus_error_when_the_file_stays_locked(self, connection: Connection, path: Path) -> None:
        publish(connection, "first")

        with locked(path), pytest.raises(OperationalError, match="locked"):
            publish(connection, "second", retry=True, retry_policy={"max_retries": 1, "interval_start": 0})

    def test_raises_kombus_error_when_the_disk_is_full_and_works_again_after(
        self, connection: Connection, path: Path
    ) -> None:
        publish(connection, "first")

        with full_disk(path), pytest.raises(OperationalError):
            publish(connection, "x" * 100_000, retry=True, retry_policy={"max_retries": 1, "interval_start": 0})

        publish(connection, "second")
        assert [get(connection).payload for _ in range(2)] == ["first", "second"]


class TestAck:
    def test_deletes_the_message(self, connection: Connection, path: Path) -> None:
        publish(connection, "job")

        get(connection).ack()

        assert queue_depth(path, NAME) == EMPTY

    def test_of_a_lost_lease_leaves_the_successors_delivery_alone(
        self, connect: Callable[..., Connection], path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(connect(), "job")
        # renewed every 33 s, by a keeper that will not come to it
        loser = get(connect(lease_seconds=100))
        with sqlite3.connect(path) as db:
            db.execute("UPDATE message SET visible_at = 0")
        db.close()
        winner = get(connect())

        loser.ack()

        assert queue_depth(path, NAME)["leased"] == 1
        assert "queue_lease_lost" in caplog.messages
        winner.ack()
        assert queue_depth(path, NAME) == EMPTY

    def test_is_made_up_for_when_the_file_was_locked(self, connect: Callable[..., Connection], path: Path) -> None:
        consumer = connect(lease_seconds=0.3)
        publish(consumer, "job")
        message = get(consumer)

        with locked(path):
            message.ack()
        time.sleep(0.4)

        assert queue_depth(path, NAME) == EMPTY

    def test_is_not_needed_by_who_asked_for_none(self, connection: Connection, path: Path) -> None:
        publish(connection, "got", "consumed")
        got = []

        assert get(connection, no_ack=True).payload == "got"
        with Consumer(connection, [JOBS], callbacks=[lambda body, _: got.append(body)], no_ack=True):
            connection.drain_events(timeout=1)

        assert got == ["consumed"]
        assert queue_depth(path, NAME) == EMPTY


class TestReject:
    def test_with_requeue_gives_it_to_others_at_once(self, connect: Callable[..., Connection]) -> None:
        publish(connect(), "job")

        get(connect()).requeue()

        again = get(connect())
        assert again.payload == "job"
        assert again.delivery_info["redelivered"]

    def test_with_requeue_lets_others_go_first(self, connection: Connection) -> None:
        publish(connection, "refused", "next")

        get(connection).requeue()

        assert get(connection).payload == "next"

    def test_with_requeue_is_no_hot_loop(self, connection: Connection) -> None:
        publish(connection, "refused")
        deliveries = 0

        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            message = get(connection)
            if message is not None:
                message.requeue()
                deliveries += 1

        assert 2 <= deliveries <= 5

    def test_without_requeue_keeps_it_as_dead(
        self, connection: Connection, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(connection, "refused")

        get(connection).reject()

        assert queue_depth(path, NAME) == {"ready": 0, "leased": 0, "dead": 1}
        assert dead_messages(path, NAME)[0].reason == "rejected"
        assert ("queue_message_dead", logging.ERROR) in [(r.message, r.levelno) for r in caplog.records]


class TestBackOff:
    def test_grows_with_deliveries_up_to_a_limit(self) -> None:
        seconds = [sqlite.back_off_seconds(deliveries) for deliveries in (1, 2, 3, 4, 50, 100_000)]

        assert seconds == [0.0, 0.1, 0.2, 0.4, 5.0, 5.0]


class TestLease:
    def test_is_renewed_while_the_message_is_held(self, connect: Callable[..., Connection]) -> None:
        publish(connect(), "job")
        held = get(connect(lease_seconds=0.6))

        time.sleep(0.9)

        assert get(connect()) is None
        held.ack()

    def test_ends_when_the_message_is_held_for_too_long(
        self, connect: Callable[..., Connection], caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(connect(), "job")
        get(connect(lease_seconds=0.2, max_lease_seconds=0.3))

        time.sleep(0.8)

        assert get(connect()).payload == "job"
        assert "queue_lease_capped" in caplog.messages


class TestDelivery:
    def test_ends_after_max_deliveries_and_leaves_the_message_dead(
        self, connect: Callable[..., Connection], path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        consumer = connect(max_deliveries=2)
        publish(consumer, "crasher")
        for _ in range(2):
            get(consumer).requeue()
            time.sleep(0.11)

        assert get(consumer) is None

        assert queue_depth(path, NAME) == {"ready": 0, "leased": 0, "dead": 1}
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert (record.message, record.reason) == ("queue_message_dead", "delivered 2 times")
        assert "crasher" not in str(record.__dict__)

    @pytest.mark.parametrize(
        "payload",
        [
            pytest.param("{not json", id="no JSON"),
            pytest.param(b"\xff\xfe\x00", id="no text"),
            pytest.param("[" * 100_000, id="JSON too deep"),
            pytest.param("[]", id="no object"),
            pytest.param("{}", id="no properties"),
            pytest.param(
                '{"properties": {"delivery_info": {}, "body_encoding": "base64"}, "body": "a"}', id="no base64"
            ),
            pytest.param('{"properties": {"delivery_info": {}, "body_encoding": "rot13"}, "body": "a"}', id="no codec"),
            pytest.param(task_payload("{not json"), id="task without JSON"),
            pytest.param(
                task_payload('[[], {}, {"a": 1}]', content_type="application/x-python-serialize"), id="pickle"
            ),
            pytest.param(task_payload("[[], {}]"), id="task of two parts"),
            pytest.param(task_payload("[{}, [], null]"), id="task without arguments"),
            pytest.param(task_payload("[[], {}, {}]", compression="application/x-gzip"), id="compression it has not"),
        ],
    )
    def test_parks_what_cannot_be_read_and_goes_on(
        self, connection: Connection, path: Path, payload: str | bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(connection, "before")
        insert(path, payload)
        publish(connection, "after")

        payloads = [get(connection).payload for _ in range(2)]

        assert payloads == ["before", "after"]
        assert queue_depth(path, NAME) == {"ready": 0, "leased": 2, "dead": 1}
        assert [record.message for record in caplog.records] == ["queue_message_dead"]

    def test_puts_back_what_the_consumer_raises_on(
        self, connection: Connection, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        publish(connection, "odd", "good")
        got = []

        def take(body: Any, message: Any) -> None:
            if body == "odd":
                raise KeyError("id")
            got.append(body)
            message.ack()

        with Consumer(connection, [JOBS], callbacks=[take]):
            for _ in range(2):
                connection.drain_events(timeout=1)

        assert got == ["good"]
        assert queue_depth(path, NAME)["ready"] == 1
        assert "queue_message_refused" in caplog.messages

    def test_goes_on_after_the_file_was_locked(
        self, connection: Connection, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(sqlite, "_PAUSE_AFTER_ERROR_SECONDS", 0.05)
        publish(connection, "job")
        got = []

        with Consumer(connection, [JOBS], callbacks=[lambda body, _: got.append(body)]):
            with locked(path), pytest.raises(socket.timeout):
                connection.drain_events(timeout=0.2)
            connection.drain_events(timeout=1)

        assert got == ["job"]
        assert caplog.messages[0] == "queue_unavailable"
        assert len(caplog.messages) < 5

    def test_respects_the_prefetch_count(self, connection: Connection, path: Path) -> None:
        publish(connection, 1, 2, 3)
        connection.default_channel.basic_qos(prefetch_count=2)

        with Consumer(connection, [JOBS], callbacks=[lambda *_: None]):
            for _ in range(2):
                connection.drain_events(timeout=1)
            with pytest.raises(socket.timeout):
                connection.drain_events(timeout=0.05)

        assert queue_depth(path, NAME) == {"ready": 1, "leased": 2, "dead": 0}


class TestClose:
    def test_hands_back_at_once_what_was_not_started(self, connect: Callable[..., Connection]) -> None:
        consumer = connect(lease_seconds=3600, max_lease_seconds=7200)
        publish(consumer, "first", "second")
        for _ in range(2):
            get(consumer)

        consumer.release()

        assert [get(connect()).payload for _ in range(2)] == ["first", "second"]

    def test_makes_an_ack_that_comes_later_harmless(
        self, connect: Callable[..., Connection], path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        consumer = connect()
        publish(consumer, "job")
        message = get(consumer)
        consumer.release()

        message.ack()

        assert queue_depth(path, NAME)["ready"] == 1
        assert "queue_message_settled_too_late" in caplog.messages

    def test_puts_back_what_comes_in_for_a_cancelled_consumer(self, connection: Connection, path: Path) -> None:
        publish(connection, "job")
        consumer = Consumer(connection, [JOBS], callbacks=[lambda *_: None])
        consumer.consume()
        connection.transport._callbacks.clear()

        connection.drain_events(timeout=1)

        assert queue_depth(path, NAME)["ready"] == 1


class TestQueueOperations:
    def test_count_and_purge(self, connection: Connection, path: Path) -> None:
        publish(connection, 1, 2, 3)
        channel = connection.default_channel

        assert channel.queue_declare(NAME).message_count == 3
        assert channel.queue_purge(NAME) == 3
        assert queue_depth(path, NAME) == EMPTY

    def test_recover_gives_back_the_original_and_no_copy(self, connection: Connection, path: Path) -> None:
        publish(connection, "job")
        get(connection)

        connection.default_channel.basic_recover(requeue=True)

        assert queue_depth(path, NAME) == {"ready": 1, "leased": 0, "dead": 0}
