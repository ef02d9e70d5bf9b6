"""Another database behind Django's default connection, for tests of what only a real server or file can show."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connections

_Answer = TypeVar("_Answer")


@contextmanager
def default_database(settings: Mapping[str, Any]) -> Iterator[None]:
    """
    Point the default connection, of this thread and of threads started meanwhile, at a migrated database.

    Not for use with the `db` fixture, which has a transaction open on the other one.
    """
    mine, theirs = connections[DEFAULT_DB_ALIAS], connections.settings
    connections.settings = connections.configure_settings({DEFAULT_DB_ALIAS: dict(settings)})
    connections[DEFAULT_DB_ALIAS] = connections.create_connection(DEFAULT_DB_ALIAS)
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connections[DEFAULT_DB_ALIAS].close()
        connections.settings = theirs
        connections[DEFAULT_DB_ALIAS] = mine


def sqlite_file(path: str) -> dict[str, Any]:
    """Return the settings of a database file that many threads write to, as the site sets it up."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL"},
    }


def in_threads(threads: int, calls: list[Callable[[], _Answer]]) -> list[_Answer]:
    """Make the calls, that many at a time, each thread on a connection of its own; return their answers in order."""

    def call(each: Callable[[], _Answer]) -> _Answer:
        try:
            return each()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, calls))
