"""The queue in the cloud, on Google's emulator; test_pubsub_stock.py has what kombu's own transport does instead."""

import socket
import time
from typing import Any

import pytest
from kombu import Connection, Consumer, Producer
from kombu.exceptions import ChannelError, OperationalError
from prometheus_client import REGISTRY

from imagen_site.brokers.pubsub import Options
from imagen_site.tests.broker import JOBS, NAME, get, publish, task_payload
from imagen_site.tests.pubsub import Cloud, Connect
from tests.emulator_fixtures import Emulator

on_the_emulator = [pytest.mark.emulator, pytest.mark.xdist_group("emulators")]


class TestOptions:
    def test_have_defaults_for_all_but_the_project(self) -> None:
        options = Options.parse({"project": "photos"})

        assert (options.lease_seconds, options.max_lease_seconds, options.create_missing) == (60, 3600, False)

    def test_name_the_missing_project(self) -> None:
        with pytest.raises(ValueError, match="'project'"):
            Options.parse({})

    @pytest.mark.parametrize("bad", [0, -1, "30", None, True])
    def test_name_the_number_that_is_none(self, bad: object) -> None:
        with pytest.raises(ValueError, match="'lease_seconds' must be a number above 0"):
            Options.parse({"project": "photos", "lease_seconds": bad})

    def test_refuse_a_lease_that_pubsub_does_not_grant(self) -> None:
        with pytest.raises(ValueError, match="at most 600"):
            Options.parse({"project": "photos", "lease_seconds": 601})

    def test_refuse_to_make_topics_in_the_cloud(self) -> None:
        with pytest.raises(ValueError, match="Terraform"):
            Options.parse({"project": "photos", "create_missing": True})


class TestPublish:
    pytestmark = on_the_emulator

    def test_arrives_at_another_connection(self, connect_cloud: Connect) -> None:
        publish(connect_cloud(), {"job_id": "1"})

        assert get(connect_cloud()).payload == {"job_id": "1"}

    def test_is_confirmed_when_it_returns(self, connect_cloud: Connect, cloud: Cloud) -> None:
        publish(connect_cloud(), *range(20))

        assert cloud.waiting() == 20

    def test_carries_its_routing_key_and_its_trace_outside_the_body(self, connect_cloud: Connect, cloud: Cloud) -> None:
        publish(connect_cloud(), "job", headers={"traceparent": "00-1-2-01"})

        (message,) = cloud.service._subscriber.pull(
            request={"subscription": f"projects/{cloud.project}/subscriptions/{NAME}-sub", "max_messages": 1}
        ).received_messages

        assert dict(message.message.attributes) == {"routing_key": NAME, "traceparent": "00-1-2-01"}

    def test_in_a_batch_is_confirmed_when_the_batch_ends(self, connect_cloud: Connect, cloud: Cloud) -> None:
        producer = Producer(connect_cloud(), serializer="json")

        with producer.batch():
            for number in range(50):
                producer.publish(number, exchange=JOBS.exchange, routing_key=NAME, declare=[JOBS])
            before = cloud.waiting()

        assert (before, cloud.waiting()) == (0, 50)

    def test_in_a_batch_that_breaks_off_publishes_nothing(self, connect_cloud: Connect, cloud: Cloud) -> None:
        producer = Producer(connect_cloud(), serializer="json")

        def break_off() -> None:
            with producer.batch():
                producer.publish("job", exchange=JOBS.exchange, routing_key=NAME, declare=[JOBS])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            break_off()

        assert cloud.waiting() == 0

    def test_raises_kombus_error_when_nobody_answers(self, cloud: Cloud) -> None:
        with cloud.connection(emulator_host="127.0.0.1:1", create_missing=False, publish_seconds=0.3) as connection:
            producer = Producer(connection, serializer="json")

            with pytest.raises(OperationalError):
                producer.publish("job", exchange=NAME, routing_key=NAME, retry=True, retry_policy={"max_retries": 1})
            with pytest.raises(OperationalError), producer.batch():
                producer.publish("job", exchange=NAME, routing_key=NAME)

    def test_makes_a_topic_that_was_deleted(self, connect_cloud: Connect, pubsub_emulator: Emulator) -> None:
        connection = connect_cloud()
        publish(connection, "lost with the emulator's memory")
        pubsub_emulator.kill()
        pubsub_emulator.start()

        Producer(connection, serializer="json").publish("kept", exchange=NAME, routing_key=NAME)

        assert get(connection).payload == "kept"


class TestTopics:
    pytestmark = on_the_emulator

    def test_are_made_in_the_emulator_as_terraform_makes_them(self, connect_cloud: Connect, cloud: Cloud) -> None:
        publish(connect_cloud(), "job")

        made = cloud.subscription(f"{NAME}-sub")

        assert cloud.topics() == ["dead-letter-jobs", NAME]
        assert made.ack_deadline_seconds == 60
        assert not made.expiration_policy.ttl
        assert made.dead_letter_policy.max_delivery_attempts == 100
        assert made.dead_letter_policy.dead_letter_topic.endswith("/dead-letter-jobs")

    def test_are_not_made_in_production(self, connect_cloud: Connect, cloud: Cloud) -> None:
        connection = connect_cloud(create_missing=False)

        with pytest.raises(OperationalError), connection._reraise_as_library_errors():
            publish(connection, "job")
        assert get(connection) is None

        assert cloud.topics() == []

    def test_have_no_fanout_so_celery_makes_no_queues_of_its_own(self, connect_cloud: Connect) -> None:
        assert not connect_cloud().supports_exchange_type("fanout")

    def test_are_emptied_and_deleted_by_nobody_who_clicks_in_a_tool(self, connect_cloud: Connect, cloud: Cloud) -> None:
        connection = connect_cloud()
        publish(connection, "job")

        for refused in (connection.default_channel.queue_purge, connection.default_channel.queue_delete):
            with pytest.raises(ChannelError, match=f"{NAME}-sub"):
                refused(NAME)

        assert cloud.waiting() == 1


class TestAck:
    pytestmark = on_the_emulator

    def test_deletes_the_message(self, connect_cloud: Connect, cloud: Cloud) -> None:
        connection = connect_cloud()
        publish(connection, "job")

        get(connection).ack()
        connection.release()

        assert cloud.waiting() == 0

    def test_is_made_up_for_when_pubsub_did_not_answer(
        self, connect_cloud: Connect, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = connect_cloud()
        publish(connection, "job")
        message = get(connection)

        service = connection.default_channel._pubsub
        working, service._emulator_host = service._emulator_host, "127.0.0.1:1"
        message.ack()
        service._emulator_host = working
        connection.release()

        assert "queue_settlement_delayed" in caplog.messages
        assert cloud.waiting() == 0


class TestReject:
    pytestmark = on_the_emulator

    def test_with_requeue_gives_the_original_to_others_at_once(self, connect_cloud: Connect, cloud: Cloud) -> None:
        connection = connect_cloud()
        publish(connection, "job")

        get(connection).requeue()

        assert cloud.waiting() == 1
        again = get(connect_cloud())
        assert again.payload == "job"
        assert again.delivery_info["redelivered"]

    def test_without_requeue_settles_and_counts_it(self, connect_cloud: Connect, cloud: Cloud) -> None:
        connection = connect_cloud()
        publish(connection, "job")
        counted = settled_unread("rejected")

        get(connection).reject()
        connection.release()

        assert cloud.waiting() == 0
        assert settled_unread("rejected") == counted + 1


class TestDelivery:
    pytestmark = on_the_emulator

    def test_says_which_one_it_is(self, connect_cloud: Connect) -> None:
        connection = connect_cloud()
        publish(connection, "job")

        attempts = []
        for _ in range(3):
            message = get(connection)
            attempts.append((message.headers["delivery_attempt"], message.delivery_info["delivery_attempt"]))
            message.requeue()
            time.sleep(1 if len(attempts) == 2 else 0)

        assert attempts == [(1, 1), (2, 2), (3, 3)]

    def test_settles_what_cannot_be_read_and_goes_on(
        self, connect_cloud: Connect, cloud: Cloud, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = connect_cloud()
        publish(connection, "before")
        foreign = ["{not json", "[]", "{}", '{"job_id": "7"}', task_payload("{not json"), task_payload("[[], {}]")]
        for payload in foreign:
            cloud.insert(payload.encode())
        cloud.insert(b"\xff\xfe\x00")
        publish(connection, "after")
        counted = settled_unread("foreign")

        got = drain(connection, until=2)
        connection.release()

        assert sorted(got) == ["after", "before"]
        assert caplog.messages.count("queue_message_foreign") == len(foreign) + 1
        assert settled_unread("foreign") == counted + len(foreign) + 1
        assert cloud.waiting() == 0

    def test_puts_back_what_the_consumer_raises_on(self, connect_cloud: Connect, cloud: Cloud) -> None:
        connection = connect_cloud()
        publish(connection, "odd")

        def take(_body: Any, _message: Any) -> None:
            raise KeyError("id")

        with Consumer(connection, [JOBS], callbacks=[take]):
            connection.drain_events(timeout=2)

        assert cloud.waiting() == 1

    def test_respects_the_prefetch_count(self, connect_cloud: Connect, cloud: Cloud) -> None:
        connection = connect_cloud()
        publish(connection, 1, 2, 3)
        connection.default_channel.basic_qos(prefetch_count=2)
        got: list[int] = []

        with Consumer(connection, [JOBS], callbacks=[lambda body, _: got.append(body)]):
            drain_on(connection, lambda: len(got) == 2)
            with pytest.raises(socket.timeout):
                connection.drain_events(timeout=0.1)

            assert cloud.waiting() == 1


class TestALease:
    pytestmark = on_the_emulator

    def test_is_kept_while_the_worker_publishes_something_else(self, connect_cloud: Connect, cloud: Cloud) -> None:
        connection = connect_cloud(lease_seconds=2)
        publish(connection, "running")
        held = get(connection)

        publish(connection, "another")
        publish(connect_cloud(), "a third")
        time.sleep(3)

        assert cloud.waiting() == 2
        held.ack()

    def test_ends_when_the_message_is_held_for_too_long(
        self, connect_cloud: Connect, cloud: Cloud, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = connect_cloud(lease_seconds=1, max_lease_seconds=0.5)
        publish(connection, "wedged")
        get(connection)

        time.sleep(1.8)

        assert cloud.waiting() == 1
        assert "queue_lease_capped" in caplog.messages


class TestAPullThatFails:
    pytestmark = on_the_emulator

    def test_is_logged_and_the_deleted_subscription_made_again(
        self, connect_cloud: Connect, cloud: Cloud, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = connect_cloud()
        publish(connect_cloud(), "gone")
        got: list[str] = []

        with Consumer(connection, [JOBS], callbacks=[lambda body, _: got.append(body)]):
            cloud.delete_subscription(f"{NAME}-sub")
            drain_on(connection, lambda: "queue_unavailable" in caplog.messages)
            publish(connect_cloud(), "job")
            drain_on(connection, lambda: got == ["job"])

    def test_lets_the_consumer_go_on_after_the_emulator_was_started_again(
        self, connect_cloud: Connect, pubsub_emulator: Emulator
    ) -> None:
        connection = connect_cloud()
        publish(connection, "before")
        got: list[str] = []

        def take(body: str, message: Any) -> None:
            got.append(body)
            message.ack()

        with Consumer(connection, [JOBS], callbacks=[take]):
            drain_on(connection, lambda: got == ["before"])
            pubsub_emulator.kill()
            with pytest.raises(socket.timeout):
                connection.drain_events(timeout=0.5)
            pubsub_emulator.start()
            publish(connect_cloud(), "after")
            drain_on(connection, lambda: got == ["before", "after"])


class TestStopping:
    pytestmark = on_the_emulator

    def test_hands_back_at_once_what_was_pulled_and_not_begun(self, connect_cloud: Connect, cloud: Cloud) -> None:
        connection = connect_cloud()
        publish(connection, "running", "next")
        running = get(connection)
        consumer = Consumer(connection, [JOBS], callbacks=[lambda *_: None])
        consumer.consume()
        assert len(connection.default_channel.pull(NAME)) == 1

        consumer.cancel()

        assert cloud.waiting() == 1
        running.ack()
        assert cloud.waiting() == 1

    def test_hands_back_what_comes_in_afterwards(self, connect_cloud: Connect, cloud: Cloud) -> None:
        connection = connect_cloud(pull_seconds=2)
        publish(connection, "first")
        got: list[str] = []
        consumer = Consumer(connection, [JOBS], callbacks=[lambda body, _: got.append(body)])
        consumer.consume()
        drain_on(connection, lambda: got == ["first"])
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.2)

        consumer.cancel()
        publish(connect_cloud(), "late")
        began = time.monotonic()
        connection.release()

        assert time.monotonic() - began < 2.5
        assert cloud.waiting() == 2
        assert got == ["first"]


class TestBackOff:
    def test_grows_with_deliveries_up_to_a_limit(self) -> None:
        from imagen_site.brokers.pubsub_leases import back_off_seconds

        assert [back_off_seconds(deliveries) for deliveries in (0, 1, 2, 3, 4, 5, 6, 100)] == [0, 0, 1, 2, 4, 8, 10, 10]


def drain(connection: Connection, *, until: int) -> list[Any]:
    """Consume and acknowledge this many messages."""
    got: list[Any] = []

    def take(body: Any, message: Any) -> None:
        got.append(body)
        message.ack()

    with Consumer(connection, [JOBS], callbacks=[take]):
        drain_on(connection, lambda: len(got) >= until)
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.1)
    return got


def drain_on(connection: Connection, reached: Any, *, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        try:
            connection.drain_events(timeout=0.5)
        except TimeoutError:
            continue


def settled_unread(reason: str) -> float:
    labels = {"queue": NAME, "reason": reason}
    return REGISTRY.get_sample_value("imagen_queue_messages_settled_unread_total", labels) or 0
