"""What one consumer holds: leases renewed by a thread while the work goes on, settled when it is done."""

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from logging import getLogger
from typing import TypeAlias

from imagen_site.brokers.leased_queue import Lease, LeasedQueue, forget_in_children

log = getLogger(__name__)

Verdict: TypeAlias = Callable[[Lease], bool]


@dataclass
class _Held:
    lease: Lease
    since: float
    renewed: bool = True


class LeaseKeeper:
    """
    The leases of one channel, by delivery tag; threads may share it.

    A verdict that the file refuses (locked, disk full) is kept with its lease and tried again by the thread.
    max_lease_seconds: a message held for longer is renewed no more, so a wedged task does not keep it for ever.
    """

    def __init__(
        self,
        queue: LeasedQueue,
        *,
        renew_every: float,
        max_lease_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._renew_every = renew_every
        self._max_lease_seconds = max_lease_seconds
        self._monotonic = monotonic
        self.forget()
        forget_in_children(self)

    def forget(self) -> None:
        self._held: dict[str, _Held] = {}
        self._unsettled: list[tuple[Lease, Verdict]] = []
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, tag: str, lease: Lease) -> None:
        with self._lock:
            self._held[tag] = _Held(lease, since=self._monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)
                self._thread.start()

    def holds(self, tag: str) -> bool:
        with self._lock:
            return tag in self._held

    def settle(self, tag: str, verdict: Verdict) -> None:
        """Apply the verdict to the lease; never raises. Nothing happens when the lease is no longer ours."""
        with self._lock:
            held = self._held.pop(tag, None)
            if held is None:
                log.warning("queue_message_settled_too_late", extra={"delivery_tag": tag})
                return
            try:
                _apply(verdict, held.lease)
            except sqlite3.Error as error:
                log.error("queue_settlement_delayed", extra={"message_id": held.lease.message_id, "error": str(error)})  # noqa: TRY400
                self._unsettled.append((held.lease, verdict))

    def tick(self) -> None:
        """Settle what could not be settled, then renew the rest. Raises sqlite3.Error."""
        self._let_go_of_the_wedged()
        with self._lock:
            while self._unsettled:
                lease, verdict = self._unsettled[0]
                _apply(verdict, lease)
                del self._unsettled[0]
            leases = {held.lease: tag for tag, held in self._held.items() if held.renewed}
            for lost in self._queue.renew(leases) if leases else ():
                del self._held[leases[lost]]
                log.warning("queue_lease_lost", extra={"message_id": lost.message_id})

    def close(self) -> None:
        """Stop renewing and hand back at once what is still held; what the file refuses comes back by its lease."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._lock:
            leases = [held.lease for held in self._held.values()]
            self._held.clear()
            try:
                for lease, verdict in self._unsettled:
                    _apply(verdict, lease)
                if leases:
                    self._queue.hand_back(leases)
            except sqlite3.Error:
                log.exception("queue_hand_back_failed", extra={"message_ids": [lease.message_id for lease in leases]})

    def _keep(self) -> None:
        stopping = self._stopping
        while not stopping.wait(self._renew_every):
            try:
                self.tick()
            except sqlite3.Error as error:
                log.error("queue_leases_not_renewed", extra={"error": str(error)})  # noqa: TRY400

    def _let_go_of_the_wedged(self) -> None:
        with self._lock:
            for held in self._held.values():
                if held.renewed and self._monotonic() - held.since > self._max_lease_seconds:
                    held.renewed = False
                    log.error("queue_lease_capped", extra={"message_id": held.lease.message_id})


def _apply(verdict: Verdict, lease: Lease) -> None:
    if not verdict(lease):
        log.warning("queue_lease_lost", extra={"message_id": lease.message_id})
