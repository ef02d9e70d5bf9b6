import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kombu import Connection, Consumer
from kombu.exceptions import OperationalError

from imagen_site.brokers import sqlite
from imagen_site.brokers.sqlite import Options, dead_messages, queue_depth
from imagen_site.tests.broker import EMPTY, JOBS, NAME, full_disk, get, locked, publish


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
