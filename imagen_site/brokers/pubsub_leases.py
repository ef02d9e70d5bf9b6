"""What one consumer holds of Pub/Sub: leases extended by a thread while the work goes on, settled when it is done."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from logging import getLogger
from typing import TYPE_CHECKING

from imagen_site.brokers.pubsub_service import PubsubError, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imagen_site.brokers.pubsub_service import Pubsub

log = getLogger(__name__)

_CALL_SECONDS = 5.0
_TICK_SECONDS = 1.0
_LONGEST_BACK_OFF_SECONDS = 10


@dataclass(frozen=True)
class Lease:
    """The right to settle one message of a topic's subscription; deliveries counts this one too."""

    topic: str
    ack_id: str
    message_id: str
    deliveries: int


@dataclass
class _Held:
    lease: Lease
    since: float
    begun: bool = False
    extended: bool = True


@dataclass(frozen=True)
class _Settlement:
    lease: Lease
    # None: acknowledged, it never comes back.
    back_in_seconds: int | None


class PubsubLeases:
    """
    The leases of one channel, by delivery tag; threads may share it.

    A settlement that does not get through is kept and tried again by the thread, as the message would otherwise be done
    twice. lease_seconds: how far each extension reaches. max_lease_seconds: what is held for longer is extended no
    more, so a wedged task does not keep its message for ever.
    """

    def __init__(
        self,
        pubsub: Pubsub,
        *,
        lease_seconds: float,
        max_lease_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pubsub = pubsub
        self._lease_seconds = lease_seconds
        self._max_lease_seconds = max_lease_seconds
        self._monotonic = monotonic
        self._held: dict[str, _Held] = {}
        self._unsettled: list[_Settlement] = []
        self._lock = threading.Lock()
        self._extend_at = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, tag: str, lease: Lease) -> None:
        with self._lock:
            if not self._held:
                # From the second message on the thread has its rhythm.
                self._extend_at = self._monotonic() + self._lease_seconds / 3
            self._held[tag] = _Held(lease, since=self._monotonic())
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._keep, name="pubsub-leases", daemon=True)
                self._thread.start()

    def begin(self, tag: str) -> bool:
        """Mark the message as given to its consumer; return False when it was handed back meanwhile."""
        with self._lock:
            held = self._held.get(tag)
            if held is not None:
                held.begun = True
            return held is not None

    def acknowledge(self, tag: str) -> None:
        """Give the message up for good; never raises. Nothing happens when it is no longer held."""
        self._settle(tag, lambda _: None)

    def put_back(self, tag: str) -> None:
        """Have the message delivered again: at once at first, later with a delay. Otherwise as acknowledge()."""
        self._settle(tag, lambda lease: back_off_seconds(lease.deliveries))

    def hand_back_unbegun(self, topic: str) -> None:
        """Give others at once what was pulled of this topic and not begun."""
        with self._lock:
            tags = [tag for tag, held in self._held.items() if held.lease.topic == topic and not held.begun]
            leases = [self._held.pop(tag).lease for tag in tags]
        self._hand_back(leases)

    def tick(self) -> None:
        """Settle what could not be settled, let go of what is wedged and, when it is time, extend the rest."""
        with self._lock:
            pending, self._unsettled = self._unsettled, []
        for settlement in pending:
            self._apply(settlement)
        with self._lock:
            self._let_go_of_the_wedged()
            now = self._monotonic()
            if now < self._extend_at:
                return
            self._extend_at = now + self._lease_seconds / 3
            leases = [held.lease for held in self._held.values() if held.extended]
        for topic, ack_ids in _by_topic(leases):
            self._extend(topic, ack_ids)

    def close(self) -> None:
        """Stop extending and hand back at once what is still held; what does not get through comes back by itself."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._lock:
            leases = [held.lease for held in self._held.values()]
            pending, self._unsettled = self._unsettled, []
            self._held.clear()
        for settlement in pending:
            self._apply(settlement)
        self._hand_back(leases)

    def _settle(self, tag: str, back_in_seconds: Callable[[Lease], int | None]) -> None:
        with self._lock:
            held = self._held.pop(tag, None)
        if held is None:
            log.warning("queue_message_settled_too_late", extra={"delivery_tag": tag})
            return
        self._apply(_Settlement(held.lease, back_in_seconds(held.lease)))

    def _apply(self, settlement: _Settlement) -> None:
        lease = settlement.lease
        try:
            if settlement.back_in_seconds is None:
                self._pubsub.acknowledge(lease.topic, [lease.ack_id], seconds=_CALL_SECONDS)
            else:
                until = settlement.back_in_seconds
                self._pubsub.extend(lease.topic, [lease.ack_id], until_seconds=until, seconds=_CALL_SECONDS)
        except Refused as error:
            log.warning("queue_lease_lost", extra={"message_id": lease.message_id, "error": str(error)})
        except PubsubError as error:
            log.error("queue_settlement_delayed", extra={"message_id": lease.message_id, "error": str(error)})  # noqa: TRY400
            with self._lock:
                self._unsettled.append(settlement)

    def _hand_back(self, leases: list[Lease]) -> None:
        for topic, ack_ids in _by_topic(leases):
            try:
                self._pubsub.extend(topic, ack_ids, until_seconds=0, seconds=_CALL_SECONDS)
            except PubsubError as error:
                extra = {"queue": topic, "messages": len(ack_ids), "error": str(error)}
                log.error("queue_hand_back_failed", extra=extra)  # noqa: TRY400

    def _extend(self, topic: str, ack_ids: list[str]) -> None:
        try:
            self._pubsub.extend(topic, ack_ids, until_seconds=round(self._lease_seconds), seconds=_CALL_SECONDS)
        except PubsubError as error:
            log.error("queue_leases_not_renewed", extra={"queue": topic, "error": str(error)})  # noqa: TRY400
            with self._lock:
                # Soon again, before they run out.
                self._extend_at = self._monotonic() + _TICK_SECONDS

    def _let_go_of_the_wedged(self) -> None:
        for held in self._held.values():
            if held.extended and self._monotonic() - held.since > self._max_lease_seconds:
                held.extended = False
                log.error("queue_lease_capped", extra={"message_id": held.lease.message_id})

    def _keep(self) -> None:
        while not self._stopping.wait(min(_TICK_SECONDS, self._lease_seconds / 3)):
            try:
                self.tick()
            except Exception:
                # Without this thread every lease would run out in silence.
                log.exception("queue_leases_not_renewed")


def back_off_seconds(deliveries: int) -> int:
    """Return how long a message that was put back stays hidden, so that none is passed around in a hot loop."""
    if deliveries <= 1:
        return 0
    return min(_LONGEST_BACK_OFF_SECONDS, 1 << min(deliveries - 2, 10))


def _by_topic(leases: Iterable[Lease]) -> Iterable[tuple[str, list[str]]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for lease in leases:
        grouped[lease.topic].append(lease.ack_id)
    return grouped.items()
