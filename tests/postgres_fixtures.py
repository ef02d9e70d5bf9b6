"""A real PostgreSQL, started once for the session from the server programs of the machine."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from tests.databases import default_database

START_SECONDS = 60


@dataclass(frozen=True)
class PostgresServer:
    """Listens on 127.0.0.1; anybody there may do anything."""

    port: int
    user: str

    def create_database(self, name: str) -> dict[str, Any]:
        """Create a database; return Django's settings for it."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": self.user,
            "HOST": "127.0.0.1",
            "PORT": self.port,
        }

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} user={self.user} dbname=postgres"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    programs, user = _programs(), _unprivileged_user()
    # Not pytest's own folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="imagen-postgres-"))
    try:
        shutil.chown(folder, user)
        server = PostgresServer(port=_free_port(), user=user)
        _initialise(programs, folder, user)
        process = _start(programs, folder, server)
        try:
            _wait_until_ready(server, process, folder)
            yield server
        finally:
            # The fast shutdown: it does not wait for clients.
            process.send_signal(signal.SIGINT)
            process.wait(timeout=START_SECONDS)
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


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("postgres")
    if elsewhere is None:
        # On a machine without it; on CI tests/no_skips.py makes a failure of this.
        pytest.skip("PostgreSQL's server programs are not installed")
    return Path(elsewhere).parent


def _unprivileged_user() -> str:
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        # Likewise: its own package makes that user.
        pytest.skip("PostgreSQL refuses to run as root, and there is no user named postgres")


def _initialise(programs: Path, folder: Path, user: str) -> None:
    command = [programs / "initdb", "-D", folder / "data", "-U", user, "--auth=trust", "--no-sync", "--encoding=UTF8"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **_run_as(user))


def _start(programs: Path, folder: Path, server: PostgresServer) -> subprocess.Popen[bytes]:
    command = [programs / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(server.port), "-k", folder]
    # Nothing here outlives the session, so nothing needs to survive a power cut.
    command += ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **_run_as(server.user))


def _run_as(user: str) -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    record = pwd.getpwnam(user)
    return {"user": record.pw_uid, "group": record.pw_gid, "extra_groups": []}


def _wait_until_ready(server: PostgresServer, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(server.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("PostgreSQL did not start: " + (folder / "log").read_text())
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
