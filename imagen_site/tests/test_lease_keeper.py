import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagen_site.brokers.lease_keeper import LeaseKeeper
from imagen_site.brokers.leased_queue import LeasedQueue, queue_depth
from imagen_site.tests.conftest import Clock


@pytest.fixture
def queue(path: Path, clock: Clock) -> Iterator[LeasedQueue]:
    queue = LeasedQueue(path, lease_seconds=30, busy_seconds=0.05, clock=clock)
    yield queue
    queue.close()


@pytest.fixture
def keeper(queue: LeasedQueue, clock: Clock) -> Iterator[LeaseKeeper]:
    """A keeper whose thread never wakes: the tests call tick()."""
    keeper = LeaseKeeper(queue, renew_every=3600, max_lease_seconds=100, monotonic=clock)
    yield keeper
    keeper.close()


@pytest.fixture
def lock(queue: LeasedQueue, path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else, who may take the file's write lock."""
    queue.open()
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def hold_one(queue: LeasedQueue, keeper: LeaseKeeper, tag: str = "tag") -> None:
    queue.put("q", "job")
    lease, _ = queue.claim("q")
    keeper.hold(tag, lease)


class TestTheThread:
    def test_keeps_a_message_longer_than_its_lease(self, path: Path) -> None:
        queue = LeasedQueue(path, lease_seconds=0.6)
        keeper = LeaseKeeper(queue, renew_every=0.05, max_lease_seconds=60)
        hold_one(queue, keeper)

        time.sleep(0.9)

        assert queue.claim("q") is None
        keeper.close()
        queue.close()

    def test_outlives_an_error_of_the_file(
        self, path: Path, lock: sqlite3.Connection, queue: LeasedQueue, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeper = LeaseKeeper(queue, renew_every=0.02, max_lease_seconds=60)
        hold_one(queue, keeper)

        lock.execute("BEGIN IMMEDIATE")
        deadline = time.monotonic() + 5
        while "queue_leases_not_renewed" not in caplog.messages and time.monotonic() < deadline:
            time.sleep(0.02)
        lock.execute("ROLLBACK")

        assert "queue_leases_not_renewed" in caplog.messages
        assert keeper._thread.is_alive()
        keeper.close()


class TestTick:
    def test_renews_what_is_held(self, queue: LeasedQueue, keeper: LeaseKeeper, clock: Clock) -> None:
        hold_one(queue, keeper)

        clock.now += 20
        keeper.tick()
        clock.now += 20

        assert queue.claim("q") is None

    def test_lets_go_of_a_message_after_the_longest_lease(
        self, queue: LeasedQueue, keeper: LeaseKeeper, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        hold_one(queue, keeper)

        for _ in range(5):
            clock.now += 25
            keeper.tick()
        clock.now += 30

        assert queue.claim("q") is not None
        assert caplog.messages == ["queue_lease_capped"]

    def test_forgets_a_lease_that_somebody_else_has(
        self, queue: LeasedQueue, keeper: LeaseKeeper, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        hold_one(queue, keeper)
        clock.now += 30
        queue.claim("q")

        keeper.tick()

        assert not keeper.holds("tag")
        assert caplog.messages == ["queue_lease_lost"]


class TestSettle:
    def test_applies_the_verdict(self, queue: LeasedQueue, keeper: LeaseKeeper, path: Path, clock: Clock) -> None:
        hold_one(queue, keeper)

        keeper.settle("tag", queue.remove)

        assert queue_depth(path, "q", clock=clock) == {"ready": 0, "leased": 0, "dead": 0}

    def test_remembers_a_verdict_while_the_file_is_locked(
        self, queue: LeasedQueue, keeper: LeaseKeeper, path: Path, clock: Clock, lock: sqlite3.Connection
    ) -> None:
        hold_one(queue, keeper)
        lock.execute("BEGIN IMMEDIATE")

        keeper.settle("tag", queue.remove)
        lock.execute("ROLLBACK")
        keeper.tick()

        assert queue_depth(path, "q", clock=clock) == {"ready": 0, "leased": 0, "dead": 0}

    def test_says_so_when_the_message_is_not_held(
        self, queue: LeasedQueue, keeper: LeaseKeeper, caplog: pytest.LogCaptureFixture
    ) -> None:
        keeper.settle("unknown", queue.remove)

        assert caplog.messages == ["queue_message_settled_too_late"]


class TestClose:
    def test_hands_back_at_once_what_is_held(self, queue: LeasedQueue, keeper: LeaseKeeper) -> None:
        hold_one(queue, keeper)

        keeper.close()

        assert queue.claim("q")[1] == b"job"

    def test_applies_the_verdicts_that_are_left(
        self, queue: LeasedQueue, keeper: LeaseKeeper, path: Path, clock: Clock, lock: sqlite3.Connection
    ) -> None:
        hold_one(queue, keeper)
        lock.execute("BEGIN IMMEDIATE")
        keeper.settle("tag", queue.remove)
        lock.execute("ROLLBACK")

        keeper.close()

        assert queue_depth(path, "q", clock=clock) == {"ready": 0, "leased": 0, "dead": 0}

    def test_survives_a_locked_file_and_says_so(
        self, queue: LeasedQueue, keeper: LeaseKeeper, lock: sqlite3.Connection, caplog: pytest.LogCaptureFixture
    ) -> None:
        hold_one(queue, keeper)
        lock.execute("BEGIN IMMEDIATE")

        keeper.close()

        lock.execute("ROLLBACK")
        assert [(record.message, record.levelno) for record in caplog.records] == [
            ("queue_hand_back_failed", logging.ERROR)
        ]


# Python 3.12 warns of what is tested here: a fork while other threads run.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
class TestAFork:
    def test_holds_nothing_of_its_parents(self, queue: LeasedQueue, keeper: LeaseKeeper) -> None:
        hold_one(queue, keeper)

        child = os.fork()
        if child == 0:
            os._exit(1 if keeper.holds("tag") else 0)
        _, status = os.waitpid(child, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        assert keeper.holds("tag")
