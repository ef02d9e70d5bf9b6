import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer

from imagen_site.brokers import sqlite
from imagen_site.brokers.sqlite import queue_depth
from imagen_site.tests.broker import JOBS, NAME, get, insert, locked, publish, task_payload


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
