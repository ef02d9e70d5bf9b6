from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import grpc
import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from jobs import trace
from jobs.errors import Unavailable
from jobs.job_events import TOPIC, PubSubJobEvents, job_id_of

if TYPE_CHECKING:
    from tests.emulator_fixtures import Emulator


def events_at(host: str, project: str) -> PubSubJobEvents:
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=grpc.insecure_channel(host)))
    return PubSubJobEvents(publisher, project=project, patience=timedelta(seconds=0.5))


class TestAnEventThatCannotBePublished:
    def test_is_given_up_in_time_as_worth_a_retry(self) -> None:
        began = time.monotonic()

        with pytest.raises(Unavailable):
            # Nothing listens there.
            events_at("127.0.0.1:9", "prints").announce(uuid4())

        assert time.monotonic() - began < 5

    @pytest.mark.emulator
    @pytest.mark.xdist_group("emulators")
    def test_for_want_of_a_topic_is_too(self, pubsub_emulator: Emulator, project: str) -> None:
        with pytest.raises(Unavailable):
            events_at(pubsub_emulator.host, project).announce(uuid4())


@pytest.mark.emulator
@pytest.mark.xdist_group("emulators")
class TestAnEvent:
    def test_is_in_the_topic_with_its_trace_when_announce_returns(
        self, pubsub_emulator: Emulator, project: str
    ) -> None:
        channel = grpc.insecure_channel(pubsub_emulator.host)
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        topic, subscription = (
            PublisherClient.topic_path(project, TOPIC),
            subscriber.subscription_path(project, "looks-on"),
        )
        PublisherClient(transport=PublisherGrpcTransport(channel=channel)).create_topic(name=topic)
        subscriber.create_subscription(name=subscription, topic=topic)
        job_id = uuid4()

        with trace.begun() as step:
            events_at(pubsub_emulator.host, project).announce(job_id)

        (received,) = subscriber.pull(subscription=subscription, max_messages=5, timeout=10).received_messages
        assert job_id_of(received.message.data) == job_id
        assert received.message.attributes["job_id"] == str(job_id)
        assert received.message.attributes[trace.TRACEPARENT] == step.traceparent
        channel.close()
