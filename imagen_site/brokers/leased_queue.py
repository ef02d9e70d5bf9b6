"""
Queues in one SQLite file: a message is leased to a consumer, and deleted only by whoever still holds the lease.

Knows neither Celery nor kombu (see sqlite.py) nor how long a consumer keeps what it holds (see lease_keeper.py).
"""

import contextlib
import os
import sqlite3
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any, Protocol, TypedDict

log = getLogger(__name__)

# A ready message has visible_at 0 and not the time it was published: a clock that is set back must not hide it.
# position is the place in the line: the order of publishing, until a message is put back and goes to the end.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
    position INTEGER NOT NULL,
    visible_at REAL NOT NULL DEFAULT 0,
    lease TEXT,
    deliveries INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    payload TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS message_line ON message (queue, state, position, visible_at);
"""
_END_OF_LINE = "(SELECT COALESCE(MAX(position), 0) + 1 FROM message WHERE queue = :queue AND state = 'waiting')"
_PUT = f"INSERT INTO message (queue, position, payload) VALUES (:queue, {_END_OF_LINE}, :payload)"  # noqa: S608
_FIRST_VISIBLE = """
    SELECT id FROM message WHERE queue = :queue AND state = 'waiting' AND visible_at <= :now ORDER BY position LIMIT 1
"""
# The cast hands out as bytes what is no valid UTF-8: fetching it as text would raise, each time, for the whole queue.
_CLAIM = f"""
UPDATE message SET lease = :token, visible_at = :until, deliveries = deliveries + 1 WHERE id = ({_FIRST_VISIBLE})
RETURNING id, deliveries, CAST(payload AS BLOB)
"""  # noqa: S608
_HELD = "WHERE id = :id AND lease = :token AND state = 'waiting'"
_RENEW = f"UPDATE message SET visible_at = :until {_HELD} RETURNING id"  # noqa: S608
_REMOVE = f"DELETE FROM message {_HELD} RETURNING id"  # noqa: S608
_PUT_BACK = (
    "UPDATE message SET lease = NULL, visible_at = :until, position = (SELECT MAX(other.position) + 1 FROM message"  # noqa: S608
    f" AS other WHERE other.queue = message.queue AND other.state = 'waiting') {_HELD} RETURNING id"
)
_HAND_BACK = f"UPDATE message SET lease = NULL, visible_at = 0 {_HELD} RETURNING id"  # noqa: S608
_BURY = f"UPDATE message SET lease = NULL, state = 'dead', reason = :reason {_HELD} RETURNING id"  # noqa: S608
_COUNT = "SELECT COUNT(*) FROM message WHERE queue = :queue AND state = 'waiting'"
_PURGE = "DELETE FROM message WHERE queue = :queue AND state = 'waiting' AND visible_at <= :now RETURNING id"
_DEPTH = """
SELECT COALESCE(SUM(state = 'waiting' AND NOT (lease IS NOT NULL AND visible_at > :now)), 0),
    COALESCE(SUM(state = 'waiting' AND lease IS NOT NULL AND visible_at > :now), 0),
    COALESCE(SUM(state = 'dead'), 0)
FROM message WHERE queue = :queue
"""
_DEAD = """
SELECT id, deliveries, reason, CAST(payload AS BLOB) FROM message WHERE queue = :queue AND state = 'dead' ORDER BY id
"""


class Depth(TypedDict):
    """How many messages a queue has: waiting for a consumer, with a consumer, given up."""

    ready: int
    leased: int
    dead: int


@dataclass(frozen=True)
class DeadMessage:
    """A message nobody will get again, kept for inspection."""

    message_id: int
    deliveries: int
    reason: str
    payload: bytes


@dataclass(frozen=True)
class Lease:
    """The right to settle one message; deliveries counts this one too."""

    message_id: int
    token: str
    deliveries: int

    @property
    def _key(self) -> dict[str, Any]:
        return {"id": self.message_id, "token": self.token}


class Inheritable(Protocol):
    """What a fork copies into a child that must not use it."""

    def forget(self) -> None:
        """Start afresh in the child: locks, connections and leases stay the parent's."""


_inheritable: "weakref.WeakSet[Inheritable]" = weakref.WeakSet()
# SQLite forbids a child even to close its parent's connection, so a child keeps a reference and never finalizes it.
_connections_of_the_parent: list[sqlite3.Connection] = []


def forget_in_children(thing: Inheritable) -> None:
    """Have thing.forget() called in every child process that is forked from now on."""
    _inheritable.add(thing)


def _forget_all() -> None:
    for thing in list(_inheritable):
        thing.forget()


os.register_at_fork(after_in_child=_forget_all)


class LeasedQueue:
    """
    All queues of one file, for one process; threads may share it.

    Every method but close() may raise sqlite3.Error: locked for longer than busy_seconds, disk full, not a database.
    A write that returned is committed and synced.
    """

    def __init__(
        self, path: Path, *, lease_seconds: float, busy_seconds: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._lease_seconds = lease_seconds
        self._busy_seconds = busy_seconds
        self._clock = clock
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._inode: int | None = None
        forget_in_children(self)

    def open(self) -> None:
        """Create the file (and its folder) if needed, so that a wrong path is known at the start."""
        with self._lock:
            self._connection()

    def close(self) -> None:
        with self._lock:
            db, self._db = self._db, None
            if db is not None:
                db.close()

    def forget(self) -> None:
        self._lock = threading.RLock()
        if self._db is not None:
            _connections_of_the_parent.append(self._db)
            self._db = None

    def put(self, queue: str, payload: str) -> None:
        self._run(_PUT, queue=queue, payload=payload)

    def claim(self, queue: str) -> tuple[Lease, bytes] | None:
        """Lease the first visible message to the caller and return it with its payload; None when there is none."""
        now = self._clock()
        # An idle consumer asks some 20 times a second; only a read is free of the write lock.
        if not self._run(_FIRST_VISIBLE, queue=queue, now=now):
            return None
        token = uuid.uuid4().hex
        rows = self._run(_CLAIM, queue=queue, now=now, token=token, until=now + self._lease_seconds)
        for message_id, deliveries, payload in rows:
            return Lease(message_id, token, deliveries), payload
        return None

    def renew(self, leases: Iterable[Lease]) -> list[Lease]:
        """Extend the leases by lease_seconds from now; return those that are no longer the caller's."""
        until = self._clock() + self._lease_seconds
        with self._lock, _transaction(self._connection()) as db:
            return [lease for lease in leases if not db.execute(_RENEW, {**lease._key, "until": until}).fetchall()]  # noqa: SLF001

    def remove(self, lease: Lease) -> bool:
        """Delete the message for good. This and the next two return False when the lease was lost."""
        return bool(self._run(_REMOVE, **lease._key))  # noqa: SLF001

    def put_back(self, lease: Lease, *, delay: float = 0.0) -> bool:
        """Put the message at the end of the line, visible in delay seconds."""
        until = self._clock() + delay if delay else 0.0
        return bool(self._run(_PUT_BACK, **lease._key, until=until))  # noqa: SLF001

    def bury(self, lease: Lease, *, reason: str) -> bool:
        """Keep the message as dead: nobody gets it again."""
        return bool(self._run(_BURY, **lease._key, reason=reason))  # noqa: SLF001

    def hand_back(self, leases: Iterable[Lease]) -> None:
        """Make the messages visible at once, each in its old place: their consumer had no part in it."""
        with self._lock, _transaction(self._connection()) as db:
            for lease in leases:
                db.execute(_HAND_BACK, lease._key).fetchall()  # noqa: SLF001

    def count(self, queue: str) -> int:
        """Count what is not dead."""
        return int(self._run(_COUNT, queue=queue)[0][0])

    def purge(self, queue: str) -> int:
        """Delete what nobody holds and is not dead; return how many."""
        return len(self._run(_PURGE, queue=queue, now=self._clock()))

    def _run(self, sql: str, **parameters: Any) -> list[Any]:  # noqa: ANN401  # a row is what its statement says
        with self._lock:
            # Fetched to the end: an UPDATE ... RETURNING keeps the write lock until its last row is read.
            return self._connection().execute(sql, parameters).fetchall()

    def _connection(self) -> sqlite3.Connection:
        if self._db is not None and self._inode != _inode(self._path):
            # Deleted under us: we would poll the old file for ever, or publish into it.
            log.warning("queue_file_replaced")
            self.close()
        if self._db is None:
            self._db = _connect(self._path, busy_seconds=self._busy_seconds)
            self._inode = _inode(self._path)
        return self._db


def queue_depth(path: Path | str, queue: str, *, clock: Callable[[], float] = time.time) -> Depth:
    """Count one queue's messages. Raises FileNotFoundError when there is no such file."""
    ((ready, leased, dead),) = _look(Path(path), _DEPTH, queue=queue, now=clock())
    return Depth(ready=ready, leased=leased, dead=dead)


def dead_messages(path: Path | str, queue: str) -> list[DeadMessage]:
    """List what was given up, the oldest first. Raises FileNotFoundError when there is no such file."""
    return [DeadMessage(*row) for row in _look(Path(path), _DEAD, queue=queue)]


def _look(path: Path, sql: str, **parameters: Any) -> list[Any]:  # noqa: ANN401  # a row is what its statement says
    if not path.exists():
        raise FileNotFoundError(f"There is no queue file {path}.")
    with contextlib.closing(_connect(path, busy_seconds=5.0)) as db:
        return db.execute(sql, parameters).fetchall()


def _connect(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        _switch_to_wal(db, give_up_at=time.monotonic() + busy_seconds)
        # In WAL mode only FULL syncs each commit, and a publish that returned must survive a power cut.
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _switch_to_wal(db: sqlite3.Connection, *, give_up_at: float) -> None:
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError:
            # Two processes that open a fresh file: the loser is refused at once, the busy timeout does not apply.
            if time.monotonic() >= give_up_at:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        # Whatever it was: an open transaction keeps the file's only write lock.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
