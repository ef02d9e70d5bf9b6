import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest

from imagen_site.brokers.leased_queue import LeasedQueue, dead_messages, queue_depth
from imagen_site.tests.conftest import Clock

LEASE = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "queue.sqlite3"


@pytest.fixture
def queue(path: Path, clock: Clock) -> Iterator[LeasedQueue]:
    queue = LeasedQueue(path, lease_seconds=LEASE, busy_seconds=0.2, clock=clock)
    yield queue
    queue.close()


@pytest.fixture
def other(path: Path, clock: Clock) -> Iterator[LeasedQueue]:
    """The same file in the hands of somebody else."""
    other = LeasedQueue(path, lease_seconds=LEASE, busy_seconds=0.2, clock=clock)
    yield other
    other.close()


class TestClaim:
    def test_takes_the_messages_of_its_queue_in_the_order_of_publishing(self, queue: LeasedQueue) -> None:
        queue.put("upscale-jobs", "first")
        queue.put("enhance-jobs", "elsewhere")
        queue.put("upscale-jobs", "second")

        payloads = [queue.claim("upscale-jobs")[1] for _ in range(2)]

        assert payloads == [b"first", b"second"]
        assert queue.claim("upscale-jobs") is None

    def test_hides_the_message_from_others_while_the_lease_lasts(
        self, queue: LeasedQueue, other: LeasedQueue, clock: Clock
    ) -> None:
        queue.put("q", "job")
        queue.claim("q")

        clock.now += LEASE - 1

        assert other.claim("q") is None

    def test_takes_it_again_when_the_lease_ran_out(self, queue: LeasedQueue, other: LeasedQueue, clock: Clock) -> None:
        queue.put("q", "job")
        queue.claim("q")

        clock.now += LEASE
        lease, payload = other.claim("q")

        assert payload == b"job"
        assert lease.deliveries == 2

    def test_finds_what_was_published_before_the_clock_was_set_back(self, queue: LeasedQueue, clock: Clock) -> None:
        queue.put("q", "job")

        clock.now -= 3600

        assert queue.claim("q") is not None

    def test_gives_each_message_to_one_of_many_threads(self, path: Path, clock: Clock) -> None:
        # Patient: on a busy machine the four wait for each other longer than the other tests want to.
        queue, other = (LeasedQueue(path, lease_seconds=LEASE, busy_seconds=60, clock=clock) for _ in range(2))
        for number in range(60):
            queue.put("q", str(number))

        def take_all(source: LeasedQueue) -> list[bytes]:
            taken = []
            while (claimed := source.claim("q")) is not None:
                taken.append(claimed[1])
            return taken

        with ThreadPoolExecutor(4) as pool:
            taken = list(chain.from_iterable(pool.map(take_all, [queue, other, queue, other])))
        queue.close()
        other.close()

        assert sorted(taken) == sorted(str(number).encode() for number in range(60))

    def test_hands_out_what_is_not_even_text(self, queue: LeasedQueue, path: Path) -> None:
        queue.open()
        with sqlite3.connect(path) as db:
            db.execute("INSERT INTO message (queue, position, payload) VALUES ('q', 1, CAST(x'ff00fe' AS TEXT))")
        db.close()

        assert queue.claim("q")[1] == b"\xff\x00\xfe"

    def test_needs_no_scan_of_the_backlog(self, queue: LeasedQueue, path: Path) -> None:
        queue.open()
        db = sqlite3.connect(path)

        plan = db.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM message WHERE queue = 'q' AND state = 'waiting' AND visible_at <= 1"
            " ORDER BY position LIMIT 1"
        ).fetchall()
        db.close()

        assert "USING COVERING INDEX message_line" in str(plan)
        assert "TEMP B-TREE" not in str(plan)


class TestRenew:
    def test_keeps_the_message_hidden(self, queue: LeasedQueue, other: LeasedQueue, clock: Clock) -> None:
        queue.put("q", "job")
        lease, _ = queue.claim("q")

        clock.now += LEASE - 1
        lost = queue.renew([lease])
        clock.now += LEASE - 1

        assert lost == []
        assert other.claim("q") is None

    def test_names_the_leases_that_others_have_now(self, queue: LeasedQueue, other: LeasedQueue, clock: Clock) -> None:
        queue.put("q", "job")
        lease, _ = queue.claim("q")
        clock.now += LEASE
        other.claim("q")

        assert queue.renew([lease]) == [lease]


class TestRemove:
    def test_deletes_the_message(self, queue: LeasedQueue, path: Path, clock: Clock) -> None:
        queue.put("q", "job")
        lease, _ = queue.claim("q")

        assert queue.remove(lease)

        assert queue_depth(path, "q", clock=clock) == {"ready": 0, "leased": 0, "dead": 0}

    def test_leaves_the_delivery_of_a_successor_alone(
        self, queue: LeasedQueue, other: LeasedQueue, clock: Clock
    ) -> None:
        queue.put("q", "job")
        lost, _ = queue.claim("q")
        clock.now += LEASE
        successor, _ = other.claim("q")

        assert not queue.remove(lost)

        assert other.remove(successor)


class TestPutBack:
    def test_lets_the_others_go_first(self, queue: LeasedQueue) -> None:
        queue.put("q", "refused")
        queue.put("q", "next")
        lease, _ = queue.claim("q")

        queue.put_back(lease)

        assert [queue.claim("q")[1] for _ in range(2)] == [b"next", b"refused"]

    def test_hides_the_message_for_the_delay(self, queue: LeasedQueue, clock: Clock) -> None:
        queue.put("q", "refused")
        lease, _ = queue.claim("q")

        queue.put_back(lease, delay=2.0)

        assert queue.claim("q") is None
        clock.now += 2.0
        assert queue.claim("q") is not None

    def test_is_refused_to_who_lost_the_lease(self, queue: LeasedQueue, other: LeasedQueue, clock: Clock) -> None:
        queue.put("q", "job")
        lost, _ = queue.claim("q")
        clock.now += LEASE
        other.claim("q")

        assert not queue.put_back(lost)

        assert queue.claim("q") is None


class TestHandBack:
    def test_restores_the_old_order(self, queue: LeasedQueue) -> None:
        for payload in ("first", "second", "third"):
            queue.put("q", payload)
        leases = [queue.claim("q")[0] for _ in range(2)]

        queue.hand_back(leases)

        assert [queue.claim("q")[1] for _ in range(3)] == [b"first", b"second", b"third"]


class TestBury:
    def test_keeps_the_message_for_inspection_and_from_consumers(
        self, queue: LeasedQueue, path: Path, clock: Clock
    ) -> None:
        queue.put("q", "poison")
        lease, _ = queue.claim("q")

        queue.bury(lease, reason="unreadable")

        clock.now += LEASE
        assert queue.claim("q") is None
        (dead,) = dead_messages(path, "q")
        assert (dead.reason, dead.payload, dead.deliveries) == ("unreadable", b"poison", 1)


class TestPurge:
    def test_deletes_what_nobody_holds(self, queue: LeasedQueue, path: Path, clock: Clock) -> None:
        for payload in ("held", "waiting", "waiting too"):
            queue.put("q", payload)
        queue.claim("q")

        assert queue.purge("q") == 2

        assert queue_depth(path, "q", clock=clock) == {"ready": 0, "leased": 1, "dead": 0}


class TestQueueDepth:
    def test_counts_ready_leased_and_dead(self, queue: LeasedQueue, path: Path, clock: Clock) -> None:
        for _ in range(6):
            queue.put("q", "job")
        queue.put("elsewhere", "job")
        queue.bury(queue.claim("q")[0], reason="rejected")
        queue.put_back(queue.claim("q")[0], delay=5.0)
        queue.claim("q")

        assert queue_depth(path, "q", clock=clock) == {"ready": 4, "leased": 1, "dead": 1}

    def test_counts_a_lease_that_ran_out_as_ready(self, queue: LeasedQueue, path: Path, clock: Clock) -> None:
        queue.put("q", "job")
        queue.claim("q")

        clock.now += LEASE

        assert queue_depth(path, "q", clock=clock) == {"ready": 1, "leased": 0, "dead": 0}

    def test_refuses_a_wrong_path(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no queue file"):
            queue_depth(tmp_path / "typo.sqlite3", "q")


class TestTheFile:
    def test_keeps_what_was_put_when_the_publisher_is_killed_at_once(self, path: Path) -> None:
        publisher = textwrap.dedent("""
            import os, pathlib, signal, sys
            from imagen_site.brokers.leased_queue import LeasedQueue
            LeasedQueue(pathlib.Path(sys.argv[1]), lease_seconds=30).put("q", "job")
            os.kill(os.getpid(), signal.SIGKILL)
        """)

        subprocess.run([sys.executable, "-c", publisher, str(path)], check=False)

        assert queue_depth(path, "q")["ready"] == 1

    def test_syncs_every_commit(self, queue: LeasedQueue) -> None:
        queue.open()

        (synchronous,) = queue._db.execute("PRAGMA synchronous").fetchone()
        (journal,) = queue._db.execute("PRAGMA journal_mode").fetchone()

        assert (synchronous, journal) == (2, "wal")

    def test_may_be_created_by_many_at_once(self, path: Path) -> None:
        queues = [LeasedQueue(path, lease_seconds=LEASE) for _ in range(8)]
        together = threading.Barrier(8)

        def publish(queue: LeasedQueue) -> None:
            together.wait()
            queue.put("q", "job")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(publish, queues))
        for queue in queues:
            queue.close()

        assert queue_depth(path, "q")["ready"] == 8

    def test_is_made_anew_when_it_was_deleted_in_use(self, queue: LeasedQueue, other: LeasedQueue, path: Path) -> None:
        queue.put("q", "gone")
        for name in path.parent.iterdir():
            name.unlink()
        other.put("q", "new")

        assert queue.claim("q")[1] == b"new"

    def test_says_so_when_it_stays_locked(self, queue: LeasedQueue, path: Path) -> None:
        queue.put("q", "job")
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")

        with pytest.raises(sqlite3.OperationalError, match="locked"):
            queue.claim("q")

        lock.close()
        assert queue.claim("q") is not None


# Python 3.12 warns of what is tested here: a fork while other threads run.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
class TestAFork:
    def test_opens_its_own_connection_and_leaves_the_parents_alone(self, queue: LeasedQueue, path: Path) -> None:
        queue.put("q", "from the parent")

        child = os.fork()
        if child == 0:
            queue.put("q", "from the child")
            os._exit(0)
        os.waitpid(child, 0)

        assert [queue.claim("q")[1] for _ in range(2)] == [b"from the parent", b"from the child"]

    def test_is_not_stopped_by_a_lock_that_a_thread_of_the_parent_holds(self, queue: LeasedQueue) -> None:
        queue.put("q", "job")
        held, release = threading.Event(), threading.Event()

        def hold_the_lock() -> None:
            with queue._lock:
                held.set()
                release.wait(5)

        thread = threading.Thread(target=hold_the_lock)
        thread.start()
        held.wait(5)
        child = os.fork()
        if child == 0:
            os._exit(0 if queue.claim("q") else 1)
        _, status = os.waitpid(child, 0)
        release.set()
        thread.join()

        assert os.waitstatus_to_exitcode(status) == 0
