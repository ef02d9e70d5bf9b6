"""
What kombu's own gcpubsub does where ours in test_pubsub_broker.py does better: a test that fails here is good news.

Then upstream has mended it, and imagen_site/brokers/pubsub.py may do with less.
"""

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Container
from typing import Any

import pytest
from kombu import Connection, Consumer
from kombu.transport import gcpubsub

from imagen_site.brokers.pubsub_service import Pubsub
from imagen_site.tests.broker import JOBS, NAME, get, publish
from imagen_site.tests.pubsub import Cloud, Connect
from tests.running_site import ROOT

pytestmark = [pytest.mark.emulator, pytest.mark.xdist_group("emulators")]


class StockNames(Pubsub):
    """kombu's subscription has the queue's own name."""

    def _subscription(self, topic: str) -> str:
        return f"{self._project}/subscriptions/{topic}"


@pytest.fixture(autouse=True)
def stock_names(cloud: Cloud) -> None:
    cloud.service = StockNames(project=cloud.project, emulator_host=cloud.emulator_host)


PUBLISH_20_AND_EXIT = """
import sys
from kombu import Connection
from imagen_site.tests.broker import publish
from imagen_site.tests.pubsub import Cloud
connection = getattr(Cloud(project=sys.argv[1], emulator_host=sys.argv[2]), sys.argv[3])()
publish(connection, *range(20))
"""


# Of the stock transport's some may have left in time on a busy machine.
@pytest.mark.parametrize(("transport", "arrived"), [("connection", {20}), ("stock", range(20))])
def test_publishes_that_were_made_before_a_normal_exit_all_arrive_only_with_ours(
    cloud: Cloud, transport: str, arrived: Container[int]
) -> None:
    command = [sys.executable, "-c", PUBLISH_20_AND_EXIT, cloud.project, cloud.emulator_host, transport]
    environment = {"PUBSUB_EMULATOR_HOST": cloud.emulator_host, "PATH": "/usr/bin:/bin"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60, capture_output=True)

    if transport == "connection":
        cloud.service = Pubsub(project=cloud.project, emulator_host=cloud.emulator_host)
    assert cloud.waiting() in arrived


class TestStockKombu:
    def test_puts_a_copy_back_and_keeps_the_original_leased(self, connect_stock: Connect) -> None:
        connection = connect_stock()
        publish(connection, "job")
        message = get(connection)

        message.requeue()

        copy = get(connection)
        assert message_id(copy) != message_id(message)
        assert unacked(connection) == 2

    def test_forgets_the_leases_of_what_runs_when_the_worker_publishes(self, connect_stock: Connect) -> None:
        worker = connect_stock()
        publish(worker, "running")
        get(worker)
        assert unacked(worker) == 1

        publish(connect_stock(), "another")

        assert unacked(worker) == 0

    def test_swallows_the_errors_of_pulls(
        self, connect_stock: Connect, cloud: Cloud, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = connect_stock()

        with Consumer(connection, [JOBS], callbacks=[lambda *_: None]):
            cloud.delete_subscription(NAME)
            caplog.clear()
            for _ in range(2):
                with pytest.raises(socket.timeout):
                    connection.drain_events(timeout=0.3)

        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_leaves_what_was_pulled_hidden_when_it_stops(self, connect_stock: Connect, cloud: Cloud) -> None:
        connection = connect_stock()
        publish(connection, "job")
        get(connection)

        connection.release()

        assert cloud.waiting() == 0

    def test_lets_its_subscriptions_expire_and_has_no_dead_letters(self, connect_stock: Connect, cloud: Cloud) -> None:
        publish(connect_stock(), "job")

        made = cloud.subscription(NAME)

        assert made.expiration_policy.ttl.total_seconds() == 86400
        assert not made.dead_letter_policy.dead_letter_topic

    def test_says_of_no_delivery_which_one_it_is(self, connect_stock: Connect) -> None:
        connection = connect_stock()
        publish(connection, "job")

        message = get(connection)

        assert "delivery_attempt" not in {**message.headers, **message.delivery_info}

    def test_extends_a_lease_for_ever(
        self, connect_stock: Connect, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gcpubsub.Channel, "_min_ack_deadline", 0.2)
        cloud.service.create(NAME, ack_seconds=10, dead_letter_topic="dead-letter-jobs", max_deliveries=100, seconds=5)
        connection = connect_stock(ack_deadline_seconds=1, max_lease_seconds=0.5)
        publish(connection, "wedged")
        get(connection)

        time.sleep(2)

        assert cloud.waiting() == 0

    def test_hides_what_it_cannot_read_and_what_came_with_it(self, connect_stock: Connect, cloud: Cloud) -> None:
        connection = connect_stock()
        got: list[Any] = []

        with Consumer(connection, [JOBS], callbacks=[lambda body, _: got.append(body)]):
            cloud.insert(b"{not json")
            with pytest.raises(socket.timeout):
                connection.drain_events(timeout=1)

        assert got == []
        assert cloud.waiting() == 0

    def test_has_fanout_for_which_celery_makes_queues_of_its_own(self, connect_stock: Connect) -> None:
        assert connect_stock().supports_exchange_type("fanout")

    def test_collects_no_publishes_into_one_request(self) -> None:
        assert not gcpubsub.Transport.implements.batch_publish


def message_id(message: Any) -> str:
    return str(message.delivery_info["gcpubsub_message"]["message_id"])


def unacked(connection: Connection) -> int:
    return len(connection.default_channel._queue_cache[NAME].unacked_ids)
