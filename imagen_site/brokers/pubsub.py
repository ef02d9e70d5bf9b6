"""
Celery's queue in the cloud: kombu's gcpubsub transport with its gaps closed (docs/decisions/0019).

Settings: broker_url = "pubsub://google" and broker_transport = "imagen_site.brokers.pubsub:Transport" (two, for kombu
takes no import path from a URL), broker_transport_options = {"project": ...} and any other field of Options.

Exchange, queue and routing key are all the topic's name; its subscription is `<topic>-sub`.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields
from logging import getLogger
from queue import Empty
from typing import Any, TypeAlias

from kombu import Connection
from kombu.exceptions import ChannelError, OperationalError
from kombu.transport import gcpubsub, virtual
from kombu.utils.json import dumps
from prometheus_client import Counter

from imagen_site.brokers.messages import UNREADABLE, Delivered, GuardedChannel, check_task, read
from imagen_site.brokers.pubsub_leases import Lease, PubsubLeases
from imagen_site.brokers.pubsub_service import Missing, Outgoing, Pubsub, PubsubError, Received

__all__ = ["DEAD_LETTER_TOPIC", "Channel", "Options", "Transport"]

log = getLogger(__name__)

DEAD_LETTER_TOPIC = "dead-letter-jobs"
# Far above the attempts of a job, which are what counts; see jobs/states.py.
_MAX_DELIVERIES = 100
_LONGEST_DRAIN_SECONDS = 0.5
_LONGEST_GET_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
# Pub/Sub takes 1,000 messages and 10 MB in a request; ours are ids of half a kilobyte.
_MESSAGES_IN_A_REQUEST = 1000
# Of a consumer without a prefetch limit.
_MOST_IN_A_PULL = 32

_settled_unread = Counter(
    "imagen_queue_messages_settled_unread",
    "Messages that no task could be made of, or that Celery rejected; acknowledged, so that they do not come back.",
    ["queue", "reason"],
)


@dataclass(frozen=True)
class Options:
    """
    What the transport takes from broker_transport_options, beside kombu's own polling_interval (0.02 seconds).

    emulator_host: "host:port" of Google's emulator; without it the cloud, by its default credentials.
    create_missing: make topics and subscriptions that are not there; in the cloud they belong to Terraform.
    lease_seconds: after a kill -9 of its consumer a message comes back that much later, 10 minutes at most.
    max_lease_seconds: the longest a task may take; then its message is given to another consumer.
    pull_seconds: how long one request waits for messages, and so the longest a stop waits for what still comes in.
    publish_seconds: how long a publisher tries before it says that the queue does not answer.
    ack_seconds: the subscription's own deadline, where create_missing makes it.
    """

    project: str
    emulator_host: str | None = None
    create_missing: bool = False
    lease_seconds: float = 60.0
    max_lease_seconds: float = 3600.0
    pull_seconds: float = 1.0
    publish_seconds: float = 5.0
    ack_seconds: int = 60

    @classmethod
    def parse(cls, given: Mapping[str, Any] | None) -> "Options":
        """Raise ValueError naming the option that is missing or wrong."""
        options = {field.name: given[field.name] for field in fields(cls) if given and field.name in given}
        if not options.get("project"):
            raise ValueError("The cloud project is not set: broker_transport_options needs a 'project'.")
        if options.get("create_missing") and not options.get("emulator_host"):
            raise ValueError("'create_missing' is for the emulator: in the cloud topics are made by Terraform.")
        for name, value in options.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if name.endswith("_seconds") and not (is_number and value > 0):
                raise ValueError(f"The transport option {name!r} must be a number above 0, not {value!r}.")
        parsed = cls(**options)
        if parsed.lease_seconds > 600:
            raise ValueError(
                "The transport option 'lease_seconds' must be at most 600: Pub/Sub grants no longer lease."
            )
        return parsed


class Channel(GuardedChannel, gcpubsub.Channel):
    """kombu's channel: to publish is a confirmed request, to consume a pull and a lease that is kept until settled."""

    # What binds a queue to a topic is its name alone: there is nothing to look up, and no fanout.
    supports_fanout = False

    def __init__(self, connection: "Transport", **kwargs: Any) -> None:  # noqa: ANN401
        self.options = options = Options.parse(connection.client.transport_options if connection.client else None)
        self._pubsub = Pubsub(project=options.project, emulator_host=options.emulator_host)
        self._leases = PubsubLeases(
            self._pubsub, lease_seconds=options.lease_seconds, max_lease_seconds=options.max_lease_seconds
        )
        self._failures: dict[str, int] = {}
        self._resume_at: dict[str, float] = {}
        # Past gcpubsub's own constructor, whose thread extends every lease of the process for ever.
        super(gcpubsub.Channel, self).__init__(connection, **kwargs)

    def wants(self, queue: str) -> bool:
        """Say whether a pull makes sense now: the consumer has room, and the last one did not just fail."""
        return self._room() > 0 and time.monotonic() >= self._resume_at.get(queue, 0.0)

    def pull(self, queue: str) -> list[dict[str, Any]]:
        """Wait for messages and lease them; logs an error instead of raising it, and pauses longer each time."""
        messages = self._receive(queue, limit=self._room(), seconds=self.options.pull_seconds)
        if self.closed or queue not in self._active_queues:
            # The consumer was stopped while they came in.
            self._leases.hand_back_unbegun(queue)
            return []
        return messages

    def begin(self, message: dict[str, Any]) -> bool:
        """Mark a pulled message as given to its consumer; return False when it was handed back meanwhile."""
        return self._leases.begin(message["properties"]["delivery_tag"])

    def basic_cancel(self, consumer_tag: str) -> None:
        queue = self._tag_to_queue.get(consumer_tag)
        super().basic_cancel(consumer_tag)
        if queue is not None:
            self._leases.hand_back_unbegun(queue)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        self._leases.acknowledge(delivery_tag)
        self.qos.ack(delivery_tag)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
        if requeue:
            self._leases.put_back(delivery_tag)
        else:
            # There is no other place for it, and the sweep looks after its job.
            self._count_unread(self.qos.get(delivery_tag).delivery_info["routing_key"], reason="rejected")
            self._leases.acknowledge(delivery_tag)
        self.qos.ack(delivery_tag)

    def create_publish_batch(self, max_size: int) -> "PublishBatch":
        """Collect what Producer.batch() publishes, to be confirmed in few requests."""
        return PublishBatch(self, max_size=max_size)

    def publish(self, topic: str, messages: list[dict[str, Any]]) -> None:
        """Publish and wait for the confirmation. Raises PubsubError."""
        outgoing = [_outgoing(message) for message in messages]
        try:
            self._pubsub.publish(topic, outgoing, seconds=self.options.publish_seconds)
        except Missing:
            if not self.options.create_missing:
                raise
            self._create(topic)
            self._pubsub.publish(topic, outgoing, seconds=self.options.publish_seconds)

    def close(self) -> None:
        if self.closed:
            return
        super(gcpubsub.Channel, self).close()
        self._leases.close()

    def _room(self) -> int:
        room = self.qos.can_consume_max_estimate()
        return _MOST_IN_A_PULL if room is None else room

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:  # noqa: ARG002
        return [routing_key or exchange]

    def _new_queue(self, queue: str, **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        if self.options.create_missing:
            self._create(queue)

    def _create(self, topic: str) -> None:
        self._pubsub.create(
            topic,
            ack_seconds=self.options.ack_seconds,
            dead_letter_topic=DEAD_LETTER_TOPIC,
            max_deliveries=_MAX_DELIVERIES,
            seconds=self.options.publish_seconds,
        )

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        self.publish(queue, [message])

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002
        seconds = min(self.options.pull_seconds, _LONGEST_GET_SECONDS)
        for message in self._receive(queue, limit=1, seconds=seconds):
            self.begin(message)
            return message
        raise Empty

    def _receive(self, queue: str, *, limit: int, seconds: float) -> list[dict[str, Any]]:
        try:
            received = self._pubsub.pull(queue, limit=limit, seconds=seconds)
        except PubsubError as error:
            self._pull_failed(queue, error)
            return []
        self._failures.pop(queue, None)
        return [message for each in received if (message := self._take(queue, each)) is not None]

    def _pull_failed(self, queue: str, error: PubsubError) -> None:
        # Raised, it would make Celery drop the connection and with it the leases of the tasks that run.
        log.error("queue_unavailable", extra={"queue": queue, "error": str(error)})
        failures = self._failures[queue] = self._failures.get(queue, 0) + 1
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10))
        self._resume_at[queue] = time.monotonic() + pause
        if isinstance(error, Missing) and self.options.create_missing:
            try:
                self._create(queue)
            except PubsubError as again:
                log.error("queue_not_created", extra={"queue": queue, "error": str(again)})  # noqa: TRY400

    def _take(self, queue: str, received: Received) -> dict[str, Any] | None:
        tag = self._next_delivery_tag()
        self._leases.hold(tag, Lease(queue, received.ack_id, received.message_id, received.deliveries))
        try:
            message = read(received.data, tag=tag, redelivered=received.deliveries > 1)
            message["properties"]["delivery_info"]["delivery_attempt"] = received.deliveries
            message["headers"]["delivery_attempt"] = received.deliveries
            check_task(self.Message(message, channel=self))
        except UNREADABLE as error:
            extra = {"queue": queue, "message_id": received.message_id, "error": type(error).__name__}
            log.error("queue_message_foreign", extra=extra)  # noqa: TRY400
            self._count_unread(queue, reason="foreign")
            self._leases.acknowledge(tag)
            return None
        return message

    def _count_unread(self, queue: str, *, reason: str) -> None:
        _settled_unread.labels(queue, reason).inc()

    def _size(self, queue: str) -> int:  # noqa: ARG002
        # Only Cloud Monitoring knows, minutes later and with a grant of its own; kombu asks at every declaration.
        return -1

    # kombu's own would do both with a click in a Celery tool; the worker's account has no right to either in the cloud.
    # What a broker with rights of its own answers then.
    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        raise ChannelError(f"The subscription {queue}-sub belongs to Terraform.")

    def _purge(self, queue: str) -> int:
        raise ChannelError(f"Purge {queue}-sub with `gcloud pubsub subscriptions seek`.")


class PublishBatch:
    """What kombu's Producer.batch() asks of a transport."""

    def __init__(self, channel: Channel, *, max_size: int) -> None:
        self.channel = channel
        self._max_size = min(max_size, _MESSAGES_IN_A_REQUEST)
        self._topics: dict[str, list[dict[str, Any]]] = {}

    def publish(self, message: dict[str, Any], *, exchange: str, routing_key: str, **_options: Any) -> None:  # noqa: ANN401
        self.channel._inplace_augment_message(message, exchange, routing_key)  # noqa: SLF001 - as basic_publish does
        topic = routing_key or exchange
        waiting = self._topics.setdefault(topic, [])
        waiting.append(message)
        if len(waiting) >= self._max_size:
            self._flush_one(topic)

    def flush(self) -> None:
        """Publish what was collected. Raises OperationalError; some topics may have got theirs by then."""
        for topic in list(self._topics):
            self._flush_one(topic)

    def discard(self) -> None:
        self._topics.clear()

    def close(self) -> None:
        self.discard()

    def _flush_one(self, topic: str) -> None:
        try:
            self.channel.publish(topic, self._topics.pop(topic))
        except PubsubError as error:
            raise OperationalError(str(error)) from error


_Consumer: TypeAlias = tuple[Channel, str]


class Transport(gcpubsub.Transport):
    """One consumer's pulls, each in a thread; Google's clients are shared by the whole process."""

    Channel = Channel
    can_parse_url = False
    polling_interval = 0.02
    # Declared recoverable too, or kombu gives a publisher one retry instead of those of its retry policy.
    connection_errors = recoverable_connection_errors = (PubsubError,)
    # Without fanout Celery leaves out its remote control, gossip and mingle, which need queues of their own.
    implements = virtual.Transport.implements.extend(exchange_type=frozenset(["direct"]), batch_publish=True)

    def __init__(self, client: Connection, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(client, **kwargs)
        self._threads = ThreadPoolExecutor(thread_name_prefix="pubsub-pull")
        self._pulls: dict[Future[list[dict[str, Any]]], _Consumer] = {}

    def drain_events(self, connection: Connection, timeout: float | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        """
        Deliver what one pull brought; raise socket.timeout after timeout, or after half a second if that is shorter.

        Celery asks for 2 seconds, looks for a SIGTERM only between calls, and calls once more when it has seen one.
        """
        longest = _LONGEST_DRAIN_SECONDS if timeout is None else min(timeout, _LONGEST_DRAIN_SECONDS)
        super().drain_events(connection, timeout=longest, **kwargs)

    def close_connection(self, connection: Connection) -> None:
        super().close_connection(connection)
        # A pull that is on its way may still bring messages, and hands them back itself.
        self._threads.shutdown(wait=True)

    def _drain_from_active_queues(self, timeout: float | None) -> None:
        self._start_pulls()
        done, _ = wait(self._pulls, timeout=timeout, return_when=FIRST_COMPLETED)
        delivered = [self._deliver_all(pull) for pull in done]
        if not any(delivered):
            raise Empty

    def _start_pulls(self) -> None:
        under_way = set(self._pulls.values())
        for channel, queue in self._consumed():
            if (channel, queue) not in under_way and channel.wants(queue):
                self._pulls[self._threads.submit(channel.pull, queue)] = channel, queue

    def _consumed(self) -> Iterator[_Consumer]:
        for channel in self.channels or ():
            if isinstance(channel, Channel):
                for queue in channel._active_queues:  # noqa: SLF001 - its transport
                    yield channel, queue

    def _deliver_all(self, pull: "Future[list[dict[str, Any]]]") -> bool:
        channel, queue = self._pulls.pop(pull)
        messages: list[Delivered] = [message for message in pull.result() if channel.begin(message)]
        for message in messages:
            self._deliver(message, queue)
        return bool(messages)


def _outgoing(message: dict[str, Any]) -> Outgoing:
    # A subscription may filter on the routing key: without the attribute it would drop the message.
    attributes = {"routing_key": message["properties"]["delivery_info"]["routing_key"]}
    trace = message["headers"].get("traceparent")
    if isinstance(trace, str):
        # For what reads no bodies: a push, and who looks at the queue.
        attributes["traceparent"] = trace
    return Outgoing(dumps(message).encode(), attributes)
