"""
Which work shares a forward pass: units of one key, of as many requests as there are.

An engine cuts its request into units (a tile, a prepared input, a whole denoising run) and hands them to its batcher.
One thread for each batcher takes units of equal key, one request after the other, and runs them together. Nobody's
fault is anybody else's: a batch that fails is run again unit by unit, and a unit that nobody waits for is left out.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from triton_models.errors import Cancelled, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from triton_models.progress import Watch

_Work = TypeVar("_Work")
_Made = TypeVar("_Made")
# How often a request that waits for its units asks whether it is still wanted.
_TICK_SECONDS = 0.1


@dataclass(eq=False)
class Unit(Generic[_Work, _Made]):
    """
    One unit on its way through a batcher; what runs it may tell how far it is.

    key: units of equal keys may share a pass. number: its place among the units of its request. shared_by: how many
    requests were in its pass, 0 before it ran.
    """

    key: Hashable
    work: _Work
    number: int
    owner: object
    fraction: float = 0.0
    preview: Callable[[], bytes] | None = None
    shared_by: int = 0
    made: Future[_Made] = field(default_factory=Future)

    @property
    def is_withdrawn(self) -> bool:
        """Whether nobody waits for it any more; work whose units all are withdrawn may stop with Cancelled."""
        return self.made.cancelled()

    def tell(self, fraction: float, preview: Callable[[], bytes] | None = None) -> None:
        """Say how far it is, 0 to 1, and how to make a small JPEG of it; whoever waits for it passes it on."""
        self.fraction, self.preview = fraction, preview or self.preview


class Batcher(Generic[_Work, _Made]):
    """
    Runs units of several requests together, in a thread of its own.

    run_together: receives 1 to `largest` units of one key and returns what it made of each, in their order. largest:
    how many at most; halved for good when memory does not suffice. patience: seconds a first unit waits for those of
    requests that have announced themselves; a request that is alone never waits.
    """

    def __init__(
        self,
        run_together: Callable[[Sequence[Unit[_Work, _Made]]], Sequence[_Made]],
        *,
        largest: int,
        name: str,
        patience: float = 0.0,
    ) -> None:
        self.largest = largest
        self._run_together = run_together
        self._name = name
        self._patience = patience
        self._changed = threading.Condition()
        # By request, the one whose turn it is first.
        self._waiting: dict[object, deque[Unit[_Work, _Made]]] = {}
        self._announced: set[int] = set()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def announced(self) -> Iterator[None]:
        """Say that this thread will bring units, while it is still decoding, so that others may wait for them."""
        thread = threading.get_ident()
        with self._changed:
            self._announced.add(thread)
        try:
            yield
        finally:
            self._has_arrived(thread)

    def run(
        self,
        works: Iterable[tuple[Hashable, _Work]],
        watch: Watch,
        *,
        ahead: int | None = None,
        on_wait: Callable[[Unit[_Work, _Made]], None] = lambda _unit: None,
    ) -> Iterator[Unit[_Work, _Made]]:
        """
        Run the units of one request; yield them in their order, each as soon as it and those before it are done.

        works: key and work of each unit, taken as they are needed: at most `ahead` (twice the largest batch) are under
        way. on_wait: called ten times a second with the unit that is waited for, which may have told how far it is;
        nothing else is reported. Raises what running a unit raised, or Cancelled within a tick of the wish; the
        units that were not reached by then never run.
        """
        owner, under_way = object(), deque[Unit[_Work, _Made]]()
        numbered = enumerate(works)
        try:
            while True:
                while len(under_way) < (ahead or 2 * self.largest) and (following := next(numbered, None)):
                    number, (key, work) = following
                    under_way.append(self._submit(Unit(key, work, number, owner)))
                if not under_way:
                    return
                # It stays among those under way until it is done, so that leaving withdraws it too.
                unit = under_way[0]
                while not _is_done(unit):
                    watch.check()
                    on_wait(unit)
                under_way.popleft().made.result()
                yield unit
        finally:
            self._withdraw(owner, under_way)

    def run_one(self, key: Hashable, work: _Work, watch: Watch) -> Unit[_Work, _Made]:
        """Run a request that is a single unit, and report to its watch what the unit tells meanwhile."""
        unit = self._submit(Unit(key, work, 0, object()))
        try:
            while not _is_done(unit):
                watch.report(unit.fraction, unit.preview)
        finally:
            self._withdraw(unit.owner, [unit])
        unit.made.result()
        return unit

    def close(self, patience: float | None = None) -> bool:
        """Stop the thread; units that wait are cancelled. Returns whether it ended within so many seconds, if any."""
        with self._changed:
            self._closed = True
            for units in self._waiting.values():
                for unit in units:
                    unit.made.cancel()
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is None:
            return True
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _submit(self, unit: Unit[_Work, _Made]) -> Unit[_Work, _Made]:
        with self._changed:
            if self._closed:
                raise Cancelled("The model server is stopping.")
            self._waiting.setdefault(unit.owner, deque()).append(unit)
            self._announced.discard(threading.get_ident())
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"{self._name}-passes", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return unit

    def _has_arrived(self, thread: int) -> None:
        with self._changed:
            self._announced.discard(thread)
            self._changed.notify_all()

    def _withdraw(self, owner: object, units: Iterable[Unit[_Work, _Made]]) -> None:
        with self._changed:
            self._waiting.pop(owner, None)
        for unit in units:
            unit.made.cancel()

    def _work(self) -> None:
        while not self._closed:
            # There may be none: whoever brought the only one left while others were waited for.
            self._run_batch(self._next_batch())

    def _next_batch(self) -> list[Unit[_Work, _Made]]:
        """Wait for work; return units of one key, or nothing when it was withdrawn or the batcher is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._patience:
                until = time.monotonic() + self._patience
                while self._announced and not self._closed and self._reach() < self.largest:
                    left = until - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
            return self._take()

    def _reach(self) -> int:
        """Return how many units could be in the next batch."""
        first = next(iter(self._waiting.values()), None)
        if not first:
            return 0
        return sum(unit.key == first[0].key for units in self._waiting.values() for unit in units)

    def _take(self) -> list[Unit[_Work, _Made]]:
        taken: list[Unit[_Work, _Made]] = []
        while len(taken) < self.largest:
            before = len(taken)
            for owner in list(self._waiting):
                units = self._waiting[owner]
                unit = next((each for each in units if not taken or each.key == taken[0].key), None)
                if unit is None:
                    continue
                units.remove(unit)
                # To the end of the row: the next batch begins with somebody else's.
                del self._waiting[owner]
                if units:
                    self._waiting[owner] = units
                taken.append(unit)
                if len(taken) == self.largest:
                    break
            if len(taken) == before:
                break
        return taken

    def _run_batch(self, units: Sequence[Unit[_Work, _Made]]) -> None:
        wanted = [unit for unit in units if not unit.is_withdrawn]
        if not wanted:
            return
        try:
            made = list(zip(wanted, self._run_together(wanted), strict=True))
        except Exception as error:  # noqa: BLE001 - the edge of a thread: handed to whoever waits for the unit
            self._after_failure(wanted, error)
            return
        owners = len({id(unit.owner) for unit in wanted})
        for unit, each in made:
            unit.shared_by = owners
            _settle(unit, each)

    def _after_failure(self, units: Sequence[Unit[_Work, _Made]], error: Exception) -> None:
        if len(units) == 1:
            _fail(units[0], error)
            return
        if isinstance(error, OutOfMemory):
            # The larger half: three that do not fit say nothing of two.
            half = -(-len(units) // 2)
            self.largest = min(self.largest, half)
            for start in range(0, len(units), half):
                self._run_batch(units[start : start + half])
            return
        # One of them spoiled it; alone, each is its own undoing at most.
        for unit in units:
            self._run_batch([unit])


def _settle(unit: Unit[_Work, _Made], made: _Made) -> None:
    # It may have been withdrawn while it ran.
    if unit.made.set_running_or_notify_cancel():
        unit.made.set_result(made)


def _fail(unit: Unit[_Work, _Made], error: Exception) -> None:
    if unit.made.set_running_or_notify_cancel():
        unit.made.set_exception(error)


def _is_done(unit: Unit[_Work, _Made]) -> bool:
    try:
        unit.made.exception(timeout=_TICK_SECONDS)
    except TimeoutError:
        return False
    except CancelledError as error:
        raise Cancelled("The model server is stopping.") from error
    return True
