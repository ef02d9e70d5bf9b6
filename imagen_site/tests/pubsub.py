"""Pub/Sub's own view of a queue, beside what a transport makes of it."""

from collections.abc import Callable
from typing import Any

from kombu import Connection

from imagen_site.brokers.pubsub_service import Outgoing, Pubsub
from imagen_site.tests.broker import NAME

OURS, STOCK = "ours", "stock kombu"
Connect = Callable[..., Connection]


class Cloud:
    """One project of the emulator, seen and touched past every transport."""

    def __init__(self, *, project: str, emulator_host: str) -> None:
        self.project = project
        self.emulator_host = emulator_host
        self.service = Pubsub(project=project, emulator_host=emulator_host)

    def options(self, **others: Any) -> dict[str, Any]:
        return {
            "project": self.project,
            "emulator_host": self.emulator_host,
            "create_missing": True,
            "pull_seconds": 0.3,
            "publish_seconds": 5,
            **others,
        }

    def connection(self, **others: Any) -> Connection:
        return Connection(
            "pubsub://google",
            transport="imagen_site.brokers.pubsub:Transport",
            transport_options=self.options(**others),
        )

    def stock(self, **others: Any) -> Connection:
        """kombu's own transport, on the same subscription as ours where it lets us say so."""
        options = {"queue_name_prefix": "", "wait_time_seconds": 2, **others}
        return Connection(f"gcpubsub://projects/{self.project}", transport_options=options)

    def insert(self, data: bytes, topic: str = NAME) -> None:
        self.service.publish(topic, [Outgoing(data, {"routing_key": topic})], seconds=5)

    def waiting(self, topic: str = NAME, *, seconds: float = 0.3) -> int:
        """Count what another consumer would get now, and give it back."""
        received = self.service.pull(topic, limit=100, seconds=seconds)
        self.service.extend(topic, [each.ack_id for each in received], until_seconds=0, seconds=5)
        return len(received)

    def subscription(self, name: str) -> Any:
        path = f"projects/{self.project}/subscriptions/{name}"
        return self.service._subscriber.get_subscription(request={"subscription": path})

    def delete_subscription(self, name: str) -> None:
        path = f"projects/{self.project}/subscriptions/{name}"
        self.service._subscriber.delete_subscription(request={"subscription": path})

    def topics(self) -> list[str]:
        listed = self.service._publisher.list_topics(request={"project": f"projects/{self.project}"})
        return sorted(topic.name.rpartition("/")[2] for topic in listed)
