"""
Celery's queue on one machine: a kombu transport on one SQLite file, with leases.

Settings: broker_url = "leased-sqlite://localhost" and broker_transport = "imagen_site.brokers.sqlite:Transport" (two,
for kombu takes no import path from a URL), broker_transport_options = {"path": ...} and any other field of Options.
"""

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from logging import getLogger
from pathlib import Path
from queue import Empty
from typing import Any

from kombu import Connection
from kombu.transport import virtual
from kombu.utils.json import dumps

from imagen_site.brokers.lease_keeper import LeaseKeeper
from imagen_site.brokers.leased_queue import DeadMessage, Depth, Lease, LeasedQueue, dead_messages, queue_depth
from imagen_site.brokers.messages import UNREADABLE, Delivered, GuardedChannel, check_task, read

__all__ = ["Channel", "DeadMessage", "Depth", "Options", "Transport", "dead_messages", "queue_depth"]

log = getLogger(__name__)

_FIRST_BACK_OFF_SECONDS = 0.1
_LONGEST_BACK_OFF_SECONDS = 5.0
_PAUSE_AFTER_ERROR_SECONDS = 1.0
_LONGEST_DRAIN_SECONDS = 0.5


@dataclass(frozen=True)
class Options:
    """
    What the transport takes from broker_transport_options, beside kombu's own polling_interval (0.05 seconds).

    lease_seconds: after a kill -9 of its consumer a message comes back that much later.
    max_deliveries: a message that comes back more often is dead.
    max_lease_seconds: the longest a task may take; then its message is given to another consumer.
    busy_seconds: how long a call waits for the file's lock.
    """

    path: Path
    lease_seconds: float = 30.0
    max_deliveries: int = 100
    max_lease_seconds: float = 3600.0
    busy_seconds: float = 5.0

    @classmethod
    def parse(cls, given: Mapping[str, Any] | None) -> "Options":
        """Raise ValueError naming the option that is missing or not a positive number."""
        if not given or not given.get("path"):
            raise ValueError("The queue's file is not set: broker_transport_options needs a 'path'.")
        numbers = {
            field.name: given[field.name] for field in fields(cls) if field.name in given and field.name != "path"
        }
        for name, value in numbers.items():
            if not isinstance(value, int | float) or value <= 0:
                raise ValueError(f"The transport option {name!r} must be a number above 0, not {value!r}.")
        return cls(path=Path(given["path"]), **numbers)


class Channel(GuardedChannel):
    """kombu's channel: to publish is a synced insert, to consume a lease, to acknowledge a delete by its holder."""

    # kombu restores by publishing a copy; here the original comes back.
    do_restore = False
    supports_fanout = False

    def __init__(self, connection: "Transport", **kwargs: Any) -> None:  # noqa: ANN401
        options = Options.parse(connection.client.transport_options if connection.client else None)
        self._max_deliveries = options.max_deliveries
        self._queue = LeasedQueue(options.path, lease_seconds=options.lease_seconds, busy_seconds=options.busy_seconds)
        self._queue.open()
        self._keeper = LeaseKeeper(
            self._queue, renew_every=options.lease_seconds / 3, max_lease_seconds=options.max_lease_seconds
        )
        self._resume_at = 0.0
        super().__init__(connection, **kwargs)

    def holds(self, delivery_tag: str) -> bool:
        """Say whether the message was delivered by this channel and is not settled yet."""
        return self._keeper.holds(delivery_tag)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        self._keeper.settle(delivery_tag, self._queue.remove)
        self.qos.ack(delivery_tag)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
        self._keeper.settle(delivery_tag, self._put_back if requeue else self._reject)
        self.qos.ack(delivery_tag)

    def close(self) -> None:
        if not self.closed:
            self._keeper.close()
        super().close()
        self._queue.close()

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401, ARG002
        self._queue.put(queue, dumps(message))

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002
        if time.monotonic() < self._resume_at:
            raise Empty
        try:
            while (claimed := self._queue.claim(queue)) is not None:
                message = self._receive(queue, *claimed)
                if message is not None:
                    return message
        except sqlite3.Error as error:
            # Raised, it would make Celery drop the connection and with it the leases of the tasks that run.
            log.error("queue_unavailable", extra={"queue": queue, "error": str(error)})  # noqa: TRY400
            self._resume_at = time.monotonic() + _PAUSE_AFTER_ERROR_SECONDS
        raise Empty

    def _receive(self, queue: str, lease: Lease, payload: bytes) -> dict[str, Any] | None:
        if lease.deliveries > self._max_deliveries:
            self._bury(queue, lease, reason=f"delivered {self._max_deliveries} times")
            return None
        tag = self._next_delivery_tag()
        try:
            message = read(payload, tag=tag, redelivered=lease.deliveries > 1)
            check_task(self.Message(message, channel=self))
        except UNREADABLE as error:
            self._bury(queue, lease, reason=f"unreadable: {type(error).__name__}")
            return None
        self._keeper.hold(tag, lease)
        return message

    def _bury(self, queue: str, lease: Lease, *, reason: str) -> None:
        self._queue.bury(lease, reason=reason)
        log.error("queue_message_dead", extra={"queue": queue, "message_id": lease.message_id, "reason": reason})

    def _reject(self, lease: Lease) -> bool:
        log.error("queue_message_dead", extra={"message_id": lease.message_id, "reason": "rejected"})
        return self._queue.bury(lease, reason="rejected")

    def _put_back(self, lease: Lease) -> bool:
        return self._queue.put_back(lease, delay=back_off_seconds(lease.deliveries))

    def _restore(self, message: Delivered) -> None:
        self.basic_reject(message.delivery_tag, requeue=True)

    def _size(self, queue: str) -> int:
        return self._queue.count(queue)

    def _purge(self, queue: str) -> int:
        return self._queue.purge(queue)


class Transport(virtual.Transport):
    """The connection to the file; each channel opens its own."""

    Channel = Channel
    polling_interval = 0.05
    driver_type = driver_name = "sqlite"
    # Declared recoverable too, or kombu gives a publisher one retry instead of those of its retry policy.
    connection_errors = recoverable_connection_errors = (sqlite3.DatabaseError,)

    def driver_version(self) -> str:
        return sqlite3.sqlite_version

    def drain_events(self, connection: Connection, timeout: float | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        """
        Deliver one message; raise socket.timeout after timeout, or after half a second if that is shorter.

        Celery asks for 2 seconds, looks for a SIGTERM only between calls, and calls once more when it has seen one.
        """
        longest = None if timeout is None else min(timeout, _LONGEST_DRAIN_SECONDS)
        super().drain_events(connection, timeout=longest, **kwargs)

    def _reject_inbound_message(self, raw_message: dict[str, Any]) -> None:
        # A consumer was cancelled while its message came in. kombu gives it to any channel, not to its own.
        tag = raw_message["properties"]["delivery_tag"]
        for channel in self.channels or ():
            if isinstance(channel, Channel) and channel.holds(tag):
                channel.basic_reject(tag, requeue=True)


def back_off_seconds(deliveries: int) -> float:
    """Return how long a message that was put back stays invisible: not at all at first, then longer each time."""
    if deliveries <= 1:
        return 0.0
    return min(_LONGEST_BACK_OFF_SECONDS, _FIRST_BACK_OFF_SECONDS * 2.0 ** min(deliveries - 2, 10))
