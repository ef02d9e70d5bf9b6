from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from jobs import trace
from jobs.errors import Unavailable
from jobs.lease import Draining, Lease, LeaseLost, LeaseTerms
from jobs.state_store.memory import MemoryStateStore
from jobs.states import JobState, JobStatus, Stage, StoredImage, queued
from jobs.tests.conftest import NOW, Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

TERMS = LeaseTerms(
    duration=timedelta(seconds=60), renew_every=timedelta(milliseconds=80), write_every=timedelta(milliseconds=20)
)


class CountingStore(MemoryStateStore):
    """Counts writes, and is away or loses its answers when told."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[float] = []
        self.away = False
        self.loses_answers = False

    def write(self, state: JobState, *, expected: Hashable) -> Hashable:
        if self.away:
            raise Unavailable("away")
        self.writes.append(time.monotonic())
        version = super().write(state, expected=expected)
        if self.loses_answers:
            raise Unavailable("the answer was lost")
        return version


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


def claimed(store: CountingStore) -> tuple[JobState, Hashable]:
    image = StoredImage("inputs/x/a.png", 64, 48, 100, "png")
    first = queued(
        job_id=uuid4(),
        owner="alice",
        operation="upscale",
        params={},
        image=image,
        now=NOW,
        expires_at=NOW + timedelta(days=7),
    )
    store.create(first)
    state = first.claim(now=NOW, lease=TERMS.duration, max_attempts=5)
    return state, store.write(state, expected=first.version)


def lease(store: CountingStore, **changes: Any) -> Lease:
    state, version = claimed(store)
    options: dict[str, Any] = {
        "states": store,
        "state": state,
        "version": version,
        "terms": TERMS,
        "clock": Clock(),
        "draining": threading.Event(),
        "on_stop": lambda: None,
        "on_thread_end": lambda: None,
    }
    return Lease(**{**options, **changes})


def wait_for(condition: Callable[[], object], seconds: float = 3.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


class TestTimer:
    def test_renews_the_lease_although_nothing_is_reported(self, store: CountingStore) -> None:
        clock = Clock()
        held = lease(store, clock=clock)
        clock.pass_(seconds=30)

        with held:
            wait_for(lambda: len(store.writes) >= 3)

        assert store.read(held.state.job_id)[0].lease_until == NOW + timedelta(seconds=90)

    def test_writes_what_was_reported_at_most_once_each_interval(self, store: CountingStore) -> None:
        held = lease(store)

        with held:
            for step in range(200):
                held.report(Stage.INFERRING, fraction=step / 200)
                time.sleep(0.001)

        between = [later - earlier for earlier, later in zip(store.writes[1:], store.writes[2:], strict=False)]
        assert 2 <= len(store.writes) < 20
        assert min(between) > 0.015

    def test_shows_stage_percentage_and_preview(self, store: CountingStore) -> None:
        held = lease(store)

        with held:
            held.report(Stage.INFERRING, fraction=0.5, preview=b"jpeg")
            wait_for(lambda: store.read(held.state.job_id)[0].stage is Stage.INFERRING)

        seen = store.read(held.state.job_id)[0]
        assert 40 < seen.progress < 60
        assert seen.preview == b"jpeg"

    def test_keeps_trying_while_the_store_is_away(self, store: CountingStore) -> None:
        held = lease(store)

        with held:
            store.away = True
            held.report(Stage.INFERRING, fraction=0.5)
            time.sleep(0.1)
            store.away = False
            wait_for(lambda: store.read(held.state.job_id)[0].progress > 40)

            held.check()

    def test_says_of_an_outage_which_job_and_which_trace_it_keeps_waiting(self, store: CountingStore) -> None:
        with (
            capture_logs(processors=[merge_contextvars]) as lines,
            trace.begun() as step,
            bound_contextvars(job_id="7"),
        ):
            held = lease(store)
            store.away = True
            with held:
                wait_for(lambda: lines)

        assert (lines[0]["event"], lines[0]["job_id"]) == ("lease_renewal_failed", "7")
        assert lines[0]["trace_id"] == step.trace_id

    def test_ends_with_the_block_and_says_so(self, store: CountingStore) -> None:
        ended = threading.Event()
        held = lease(store, on_thread_end=ended.set)

        with held:
            pass
        written = len(store.writes)
        time.sleep(0.15)

        assert ended.is_set()
        assert len(store.writes) == written


class TestCancel:
    def test_is_noticed_by_the_next_write_and_stops_the_call_once(self, store: CountingStore) -> None:
        stops: list[int] = []
        held = lease(store, on_stop=lambda: stops.append(1))

        with held:
            state, version = store.read(held.state.job_id)
            store.write(state.cancel(now=NOW), expected=version)
            wait_for(lambda: stops)

            with pytest.raises(LeaseLost):
                held.report(Stage.INFERRING, fraction=0.9)
            with pytest.raises(LeaseLost):
                held.move(lambda state: state.fail(now=NOW, code="x", message="y"))

        assert stops == [1]
        assert store.read(held.state.job_id)[0].status is JobStatus.CANCELLED

    def test_that_comes_before_the_last_write_wins(self, store: CountingStore) -> None:
        held = lease(store)
        state, version = store.read(held.state.job_id)
        store.write(state.cancel(now=NOW), expected=version)

        with pytest.raises(LeaseLost):
            held.move(lambda state: state.fail(now=NOW, code="x", message="y"))

        assert store.read(held.state.job_id)[0].status is JobStatus.CANCELLED


class TestDrain:
    def test_stops_the_work_but_lets_the_job_be_handed_back(self, store: CountingStore) -> None:
        draining, stops = threading.Event(), []
        held = lease(store, draining=draining, on_stop=lambda: stops.append(1))

        with held:
            draining.set()
            wait_for(lambda: stops)
            with pytest.raises(Draining):
                held.check()
            held.move(lambda state: state.release(now=NOW))

        assert store.read(held.state.job_id)[0].status is JobStatus.QUEUED


class TestLastWrite:
    def test_whose_answer_was_lost_counts_as_ours_when_tried_again(self, store: CountingStore) -> None:
        held = lease(store)
        times = iter([NOW, NOW + timedelta(seconds=1)])

        def last(state: JobState) -> JobState:
            return state.fail(now=next(times), code="x", message="y")

        store.loses_answers = True
        with pytest.raises(Unavailable):
            held.move(last)
        store.loses_answers = False
        held.move(last)

        stored = store.read(held.state.job_id)[0]
        assert stored.status is JobStatus.FAILED
        assert stored == held.state

    def test_after_a_takeover_changes_nothing(self, store: CountingStore) -> None:
        held = lease(store)
        state, version = store.read(held.state.job_id)
        takeover = replace(state, lease_until=NOW).claim(now=NOW, lease=TERMS.duration, max_attempts=5)
        store.write(takeover, expected=version)

        with pytest.raises(LeaseLost):
            held.move(lambda state: state.fail(now=NOW, code="x", message="y"))

        assert store.read(held.state.job_id)[0] == takeover

    def test_is_not_overtaken_by_the_timer(self, store: CountingStore) -> None:
        held = lease(store)

        with held:
            held.report(Stage.UPLOADING)
            held.move(lambda state: state.fail(now=NOW, code="x", message="y"))
            time.sleep(0.1)
            held.check()

        assert store.read(held.state.job_id)[0].status is JobStatus.FAILED
