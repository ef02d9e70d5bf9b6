"""A queue's file, its clock, and kombu's connections to it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.sqlite3"


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[..., Connection]]:
    """Connections to the queue's file, each as another process would have it."""
    opened = []

    def connect(**options: Any) -> Connection:
        connection = Connection(
            "leased-sqlite://localhost",
            transport="imagen_site.brokers.sqlite:Transport",
            transport_options={"path": str(path), "polling_interval": 0.005, "busy_seconds": 0.05, **options},
        )
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.release()


@pytest.fixture
def connection(connect: Callable[..., Connection]) -> Connection:
    return connect()
