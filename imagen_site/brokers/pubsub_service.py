"""
Google Pub/Sub by unary calls: publish and wait for the answer, pull, settle.

Knows neither Celery nor kombu (see pubsub.py) nor how long a consumer keeps what it holds (see pubsub_leases.py).
Google's own clients publish from a thread of theirs and hold what they pulled by rules of theirs: they are left out.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import grpc
from google.api_core import exceptions as google_errors
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CHANNEL_OPTIONS = [
    # Or the wait for a server that was away grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Channels share connections by address, and a forked child must not get its parent's.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
]
_TRANSIENT = if_exception_type(
    google_errors.Aborted,
    google_errors.Cancelled,
    google_errors.DeadlineExceeded,
    google_errors.InternalServerError,
    google_errors.ServiceUnavailable,
    google_errors.TooManyRequests,
    google_errors.Unknown,
)
_REFUSALS = (google_errors.NotFound, google_errors.InvalidArgument, google_errors.FailedPrecondition)
# The service answers an empty pull before the caller's own deadline; a deadline that comes first can lose what was
# on its way, which then stays hidden until the subscription's deadline.
_PULL_GRACE_SECONDS = 1.0
_RETENTION = timedelta(days=7)
# Of ids of about 200 bytes; a request may have 512 KiB.
_IDS_IN_A_REQUEST = 1000


class PubsubError(Exception):
    """Pub/Sub does not answer, or did not do what it was asked; worth a retry."""


class Refused(PubsubError):
    """Pub/Sub answered that this cannot be done; the same call again will not do it either."""


class Missing(Refused):
    """There is no such topic or subscription."""


@dataclass(frozen=True)
class Outgoing:
    data: bytes
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Received:
    """deliveries counts this one too; 0 when the subscription has no dead-letter policy, and so nobody counts."""

    ack_id: str
    message_id: str
    data: bytes
    deliveries: int


class Pubsub:
    """
    The topics of one project, and the subscription `<topic>-sub` of each; threads may share it.

    Every method may raise PubsubError. emulator_host: "host:port" of Google's emulator, None for the cloud.
    """

    def __init__(self, *, project: str, emulator_host: str | None) -> None:
        self._project = f"projects/{project}"
        self._emulator_host = emulator_host

    def publish(self, topic: str, messages: Sequence[Outgoing], *, seconds: float) -> None:
        """Publish all of them in one request; once this returns Pub/Sub has confirmed each. Tries again meanwhile."""
        request = {
            "topic": self._topic(topic),
            "messages": [{"data": each.data, "attributes": dict(each.attributes)} for each in messages],
        }
        with _translated():
            self._publisher.publish(request=request, **_patience(seconds))

    def pull(self, topic: str, *, limit: int, seconds: float) -> list[Received]:
        """Wait up to `seconds` for messages of the topic's subscription; return none when none came."""
        request = {"subscription": self._subscription(topic), "max_messages": limit}
        with _translated():
            try:
                answer = self._subscriber.pull(request=request, retry=None, timeout=seconds + _PULL_GRACE_SECONDS)
            except google_errors.DeadlineExceeded:
                return []
        return [
            Received(each.ack_id, each.message.message_id, each.message.data, each.delivery_attempt)
            for each in answer.received_messages
        ]

    def acknowledge(self, topic: str, ack_ids: Sequence[str], *, seconds: float) -> None:
        with _translated():
            for ids in _portions(ack_ids):
                request = {"subscription": self._subscription(topic), "ack_ids": ids}
                self._subscriber.acknowledge(request=request, retry=None, timeout=seconds)

    def extend(self, topic: str, ack_ids: Sequence[str], *, until_seconds: int, seconds: float) -> None:
        """Have the messages come back in until_seconds (0 to 600) from now; 0 hands them back at once."""
        with _translated():
            for ids in _portions(ack_ids):
                request = {
                    "subscription": self._subscription(topic),
                    "ack_ids": ids,
                    "ack_deadline_seconds": until_seconds,
                }
                self._subscriber.modify_ack_deadline(request=request, retry=None, timeout=seconds)

    def create(
        self, topic: str, *, ack_seconds: int, dead_letter_topic: str, max_deliveries: int, seconds: float
    ) -> None:
        """
        Create the topic, its subscription and the topic of its dead letters; those that exist stay as they are.

        Tries again for `seconds`: a connection that just failed refuses every call for a moment.
        """
        patience = _patience(seconds)
        with _translated():
            for name in (topic, dead_letter_topic):
                with _unless_it_exists():
                    self._publisher.create_topic(request={"name": self._topic(name)}, **patience)
            request: dict[str, Any] = {
                "name": self._subscription(topic),
                "topic": self._topic(topic),
                "ack_deadline_seconds": ack_seconds,
                "message_retention_duration": _RETENTION,
                # Empty: never. By default a subscription that nobody used for a while is deleted, messages and all.
                "expiration_policy": {},
                "dead_letter_policy": {
                    "dead_letter_topic": self._topic(dead_letter_topic),
                    "max_delivery_attempts": max_deliveries,
                },
            }
            with _unless_it_exists():
                self._subscriber.create_subscription(request=request, **patience)

    def create_push(self, topic: str, *, address: str, ack_seconds: int) -> None:
        """Create the topic and its subscription `<topic>-push`, and let that push to this address from now on."""
        subscription, push = f"{self._project}/subscriptions/{topic}-push", {"push_endpoint": address}
        request = {
            "name": subscription,
            "topic": self._topic(topic),
            "push_config": push,
            "ack_deadline_seconds": ack_seconds,
            "expiration_policy": {},
        }
        with _translated():
            with _unless_it_exists():
                self._publisher.create_topic(request={"name": self._topic(topic)})
            with _unless_it_exists():
                self._subscriber.create_subscription(request=request)
            self._subscriber.modify_push_config(request={"subscription": subscription, "push_config": push})

    @property
    def _publisher(self) -> PublisherClient:
        return _publisher(self._emulator_host)

    @property
    def _subscriber(self) -> SubscriberClient:
        return _subscriber(self._emulator_host)

    def _topic(self, name: str) -> str:
        return f"{self._project}/topics/{name}"

    def _subscription(self, topic: str) -> str:
        return f"{self._project}/subscriptions/{topic}-sub"


@cache
def _publisher(emulator_host: str | None) -> PublisherClient:
    return PublisherClient(transport=_transport(PublisherGrpcTransport, emulator_host))


@cache
def _subscriber(emulator_host: str | None) -> SubscriberClient:
    return SubscriberClient(transport=_transport(SubscriberGrpcTransport, emulator_host))


def _forget_clients() -> None:
    _publisher.cache_clear()
    _subscriber.cache_clear()


# A child that was forked must not touch its parent's channels.
os.register_at_fork(after_in_child=_forget_clients)


def _transport(kind: Any, emulator_host: str | None) -> Any:  # noqa: ANN401 - of either client, or what makes one
    if emulator_host is not None:
        # Made here: where PUBSUB_EMULATOR_HOST is set, the client takes nothing that makes one but a class.
        return kind(channel=grpc.insecure_channel(emulator_host, options=_CHANNEL_OPTIONS))

    def dial(host: str, *, options: Sequence[tuple[str, Any]], **kwargs: Any) -> grpc.Channel:  # noqa: ANN401
        channel: grpc.Channel = kind.create_channel(host, options=[*options, *_CHANNEL_OPTIONS], **kwargs)
        return channel

    return partial(kind, channel=dial)


def _patience(seconds: float) -> dict[str, Any]:
    # Google's own default is ten minutes.
    retry = Retry(_TRANSIENT, initial=0.1, maximum=1.0, multiplier=2.0, timeout=seconds)
    return {"retry": retry, "timeout": seconds}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except google_errors.NotFound as error:
        raise Missing(error.message) from error
    except _REFUSALS as error:
        raise Refused(error.message) from error
    except (google_errors.GoogleAPIError, GoogleAuthError) as error:
        raise PubsubError(str(error)) from error


@contextmanager
def _unless_it_exists() -> Iterator[None]:
    try:
        yield
    except google_errors.AlreadyExists:
        return


def _portions(ack_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ack_ids), _IDS_IN_A_REQUEST):
        yield ack_ids[start : start + _IDS_IN_A_REQUEST]
