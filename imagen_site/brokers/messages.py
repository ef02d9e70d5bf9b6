"""What a message must be before Celery gets it, whichever of our transports carries it."""

from collections.abc import Callable
from logging import getLogger
from typing import Any, TypeAlias

from kombu.exceptions import KombuError
from kombu.transport import virtual
from kombu.utils.json import loads

log = getLogger(__name__)

# By its stubs a kombu message may lack its tag and body; one that was delivered has both.
Delivered: TypeAlias = Any

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, KombuError)


class GuardedChannel(virtual.Channel):
    """A channel that settles what a consumer chokes on, and what it takes without acknowledging."""

    def basic_consume(
        self,
        queue: str,
        no_ack: bool,  # noqa: FBT001  # kombu's signature
        callback: Callable[..., Any] | None,
        consumer_tag: str | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> str:
        """
        Consume as kombu does, except that a message on which the callback raises is put back.

        Celery lets through what it finds odd in a message's headers; that would end the worker, on every delivery.
        """

        def take(message: Delivered) -> None:
            if no_ack:
                self.basic_ack(message.delivery_tag)
            try:
                if callback is not None:
                    callback(message)
            except Exception:
                log.exception("queue_message_refused", extra={"queue": queue, "delivery_tag": message.delivery_tag})
                self.basic_reject(message.delivery_tag, requeue=True)

        return super().basic_consume(queue, no_ack, take, consumer_tag, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Delivered | None:  # noqa: ANN401, FBT001, FBT002
        message: Delivered = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if message is not None and no_ack:
            self.basic_ack(message.delivery_tag)
        return message


def read(payload: bytes, *, tag: str, redelivered: bool) -> dict[str, Any]:
    """Return the message as kombu wants it. Raises one of UNREADABLE."""
    message: dict[str, Any] = loads(payload)
    message["properties"]["delivery_tag"] = tag
    message["properties"]["delivery_info"]["redelivered"] = redelivered
    return message


def check_task(message: Delivered) -> None:
    """
    Raise ValueError or TypeError when Celery's thread would fail to unpack the task before it runs it.

    Such a failure ends in a future that nobody reads: the message is never settled and its thread's turn never given
    back, so with one thread the whole queue stands still.
    """
    if "task" not in message.headers:
        return
    if message.errors or message.content_type != "application/json":
        raise ValueError("A task's message must be JSON.")
    args, kwargs, embed = loads(message.body)
    if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(embed, dict | None)):
        raise TypeError("A task's message must be [args, kwargs, embed].")
