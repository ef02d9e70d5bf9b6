"""A queue's file, its clock, and kombu's connections to it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from imagen_site.tests.pubsub import Cloud
from tests.emulator_fixtures import Emulator


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


@pytest.fixture
def cloud(pubsub_emulator: Emulator, project: str) -> Cloud:
    return Cloud(project=project, emulator_host=pubsub_emulator.host)


@pytest.fixture
def connect_cloud(cloud: Cloud) -> Iterator[Callable[..., Connection]]:
    """Our connections to Pub/Sub, each as another process would have it."""
    opened = []

    def connect(**options: Any) -> Connection:
        opened.append(cloud.connection(**options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.release()


@pytest.fixture
def connect_stock(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Connection]]:
    """Connections by kombu's own transport."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", cloud.emulator_host)
    opened = []

    def connect(**options: Any) -> Connection:
        opened.append(cloud.stock(**options))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.release()
