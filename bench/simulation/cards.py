"""Triton: pods with one card each, five models on a card, batches, and the two numbers that they are scaled by."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from bench.simulation.assumptions import OPERATIONS
from bench.simulation.metrics import LateGauge, RecentAverage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    import simpy

    from bench.simulation.assumptions import Assumptions


@dataclass(eq=False)
class Call:
    """One request to Triton; done succeeds with its answer. Whoever gives up sets cancelled."""

    operation: str
    asked_at: float
    done: simpy.Event
    queued: float = 0.0
    cancelled: bool = False


@dataclass(eq=False)
class Model:
    """One model on one card: what waits in Triton's queue, and what its threads have taken and the card has not run."""

    pending: deque[Call] = field(default_factory=deque)
    taken: deque[Call] = field(default_factory=deque)
    running: int = 0


class Card:
    """One pod of Triton, ready. The models take turns, a whole batch each; the real ones take turns by passes."""

    def __init__(self, triton: Triton) -> None:
        self._triton = triton
        self._env, self._assumed = triton.env, triton.assumed
        self.models = {operation: Model() for operation in OPERATIONS.values()}
        self._turns = deque(self.models)
        self._wake = self._env.event()
        self.busy_seconds = 0.0
        self.stopping = False
        self._env.process(self._compute())

    @property
    def pending(self) -> int:
        """Return nv_inference_pending_request_count over all models."""
        return sum(len(model.pending) for model in self.models.values())

    def take(self, call: Call) -> None:
        """Accept a request."""
        self.models[call.operation].pending.append(call)
        self._refill(self.models[call.operation])
        if not self._wake.triggered:
            self._wake.succeed()

    def stop(self) -> list[Call]:
        """Finish the pass that runs and nothing else; return the requests that must be asked of another card."""
        self.stopping = True
        left = [call for model in self.models.values() for call in (*model.taken, *model.pending)]
        for model in self.models.values():
            model.taken.clear()
            model.pending.clear()
        return left

    def _refill(self, model: Model) -> None:
        while model.pending and len(model.taken) + model.running < self._triton.taken_by_a_model:
            call = model.pending.popleft()
            if call.cancelled:
                continue
            call.queued = self._env.now - call.asked_at + self._assumed.batching_delay
            model.taken.append(call)

    def _compute(self) -> Iterator[simpy.Event]:
        while True:
            operation, batch = self._next_batch()
            if not batch:
                self._wake = self._env.event()
                yield self._wake
                continue
            model = self.models[operation]
            spread = self._triton.chance.uniform(1 - self._assumed.jitter, 1 + self._assumed.jitter)
            seconds = self._assumed.seconds_on_card(operation, len(batch)) * spread
            model.running = len(batch)
            yield self._env.timeout(seconds)
            model.running = 0
            self.busy_seconds += seconds
            self._answer(batch)
            self._refill(model)

    def _answer(self, batch: list[Call]) -> None:
        for call in batch:
            self._triton.waits.add(call.queued, now=self._env.now)
            if not call.cancelled:
                call.done.succeed()

    def _next_batch(self) -> tuple[str, list[Call]]:
        for _ in range(len(self._turns)):
            operation = self._turns[0]
            self._turns.rotate(-1)
            taken = self.models[operation].taken
            batch: list[Call] = []
            while taken and len(batch) < self._assumed.batch:
                call = taken.popleft()
                if not call.cancelled:
                    batch.append(call)
            if batch:
                return operation, batch
        return "", []


class Triton:
    """The Deployment: as many cards as its autoscaler asked for, some of them on their way."""

    def __init__(
        self, env: simpy.Environment, assumed: Assumptions, chance: Random, *, threads_of_a_model: int
    ) -> None:
        self.env, self.assumed, self.chance = env, assumed, chance
        # Its threads, and one batch more that Triton hands over and that waits for them: only what comes after these is
        # "pending", and only its waiting is "queue duration" (triton_models/serving.py).
        self.taken_by_a_model = threads_of_a_model + assumed.batch
        self.waits = RecentAverage()
        self.queue_seconds, self.pending_requests = LateGauge(), LateGauge()
        self.cards: list[Card] = []
        self._gone: list[Card] = []
        self._coming: deque[int] = deque()
        self._numbers = count()
        self._next = 0
        self._waiting_for_a_card: list[Call] = []

    @property
    def replicas(self) -> int:
        """Return how many were asked for."""
        return len(self.cards) + len(self._coming)

    @property
    def ready(self) -> int:
        """Return how many answer."""
        return len(self.cards)

    @property
    def busy_seconds(self) -> float:
        """Return how long cards computed, over all of them."""
        return sum(card.busy_seconds for card in (*self.cards, *self._gone))

    def scale(self, replicas: int, *, at_once: bool = False) -> None:
        """Start or stop cards until so many are asked for; the newest go first."""
        while self.replicas < replicas:
            number = next(self._numbers)
            self._coming.append(number)
            self.env.process(self._start(number, 0 if at_once else self.chance.uniform(*self.assumed.card_start)))
        while self.replicas > replicas:
            if self._coming:
                self._coming.pop()
                continue
            card = self.cards.pop()
            self._gone.append(card)
            for call in card.stop():
                self._route(call)

    def infer(self, operation: str) -> Call:
        """Ask for one result."""
        call = Call(operation, asked_at=self.env.now, done=self.env.event())
        self._route(call)
        return call

    def measuring(self) -> Iterator[simpy.Event]:
        """Run the scrapes and the recording rules for as long as the simulation goes."""
        while True:
            now = self.env.now
            visible_at = now + self.assumed.rules_late
            self.queue_seconds.sample(self.waits.read(now), visible_at=visible_at)
            self.pending_requests.sample(sum(card.pending for card in self.cards), visible_at=visible_at)
            yield self.env.timeout(self.assumed.rules_every)

    def _start(self, number: int, seconds: float) -> Iterator[simpy.Event]:
        yield self.env.timeout(seconds)
        if number not in self._coming:
            return
        self._coming.remove(number)
        self.cards.append(Card(self))
        waiting, self._waiting_for_a_card = self._waiting_for_a_card, []
        for call in waiting:
            self._route(call)

    def _route(self, call: Call) -> None:
        # Round robin over what is ready at this moment; a request stays where it was sent.
        if not self.cards:
            self._waiting_for_a_card.append(call)
            return
        self._next = (self._next + 1) % len(self.cards)
        self.cards[self._next].take(call)
