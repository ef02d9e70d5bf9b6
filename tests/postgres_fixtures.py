"""A real PostgreSQL, started once for the session from the server programs of the machine."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from imagen_site.local.postgres import Cluster, PostgresMissing, as_user, cluster
from tests.databases import default_database
from tests.running_site import free_port

START_SECONDS = 60


@dataclass(frozen=True)
class PostgresServer:
    """Listens on 127.0.0.1; anybody there may do anything."""

    cluster: Cluster

    def create_database(self, name: str) -> dict[str, Any]:
        """Create a database; return Django's settings for it."""
        self.cluster.ensure_database(name)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": self.cluster.user,
            "HOST": "127.0.0.1",
            "PORT": self.cluster.port,
        }

    @property
    def dsn(self) -> str:
        return self.cluster.dsn


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    # Not pytest's own folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="imagen-postgres-"))
    try:
        server = cluster(folder, port=free_port())
        server.initialise()
        process = _start(server)
        try:
            if not server.wait_until_answers(seconds=START_SECONDS, going=lambda: process.poll() is None):
                pytest.fail("PostgreSQL did not start: " + (folder / "log").read_text())
            yield PostgresServer(server)
        finally:
            # The fast shutdown: it does not wait for clients.
            process.send_signal(signal.SIGINT)
            process.wait(timeout=START_SECONDS)
    except PostgresMissing as error:
        # On a machine without it; on CI tests/no_skips.py makes a failure of this.
        pytest.skip(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_numbers = count(1)


@pytest.fixture
def postgres(
    postgres_server: PostgresServer, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[PostgresServer]:
    """A fresh, migrated PostgreSQL database as Django's default; not to be combined with `db`."""
    with django_db_blocker.unblock(), default_database(postgres_server.create_database(f"test_{next(_numbers)}")):
        yield postgres_server


def _start(server: Cluster) -> subprocess.Popen[bytes]:
    # Nothing here outlives the session, so nothing needs to survive a power cut.
    careless = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
    with (server.folder / "log").open("wb") as log:
        return subprocess.Popen([*server.command, *careless], stdout=log, stderr=log, cwd="/", **as_user(server.user))
