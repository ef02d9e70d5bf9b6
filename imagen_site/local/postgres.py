"""PostgreSQL from the server programs of this machine: where they lie, who may run them, a cluster of one's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_SECONDS = 0.05


class PostgresMissing(Exception):
    """PostgreSQL cannot be run here; the message is a sentence that says why."""


@dataclass(frozen=True)
class Cluster:
    """A cluster in `folder`, of which anybody on this machine may do anything: it listens on 127.0.0.1 alone."""

    programs: Path
    folder: Path
    user: str
    port: int

    @property
    def dsn(self) -> str:
        return self.dsn_of("postgres")

    def dsn_of(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={self.user} dbname={database}"

    def url_of(self, database: str) -> str:
        """Return what DATABASE_URL says for this database."""
        return f"postgres://{self.user}@127.0.0.1:{self.port}/{database}"

    @property
    def command(self) -> tuple[str, ...]:
        """The server's command line, to be run as `user`."""
        data, sockets = str(self.folder / "data"), str(self.folder)
        return (str(self.programs / "postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(self.port), "-k", sockets)

    def initialise(self) -> None:
        """Make the cluster unless it is there. Raises PostgresMissing where its user cannot come to the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            shutil.chown(self.folder, self.user)
        # A file that only a finished cluster has: initdb may have been interrupted.
        if (self.folder / "whole").exists():
            return
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        command = [str(self.programs / "initdb"), "-D", str(self.folder / "data"), "-U", self.user, "--auth=trust"]
        command += ["--no-sync", "--encoding=UTF8"]
        try:
            # From the root, which every user may enter.
            done = subprocess.run(command, cwd="/", check=False, capture_output=True, text=True, **as_user(self.user))
        except OSError as error:
            raise PostgresMissing(f"PostgreSQL cannot be run: {error}.") from error
        if done.returncode:
            raise PostgresMissing(f"PostgreSQL cannot keep its data in {self.folder}: {done.stderr.strip()[-300:]}")
        (self.folder / "whole").touch()

    def ensure_database(self, name: str) -> None:
        """Create a database unless it is there; the server runs."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if there is None:
                connection.execute(f'CREATE DATABASE "{name}"'.encode())

    def wait_until_answers(self, *, seconds: float, going: Callable[[], bool]) -> bool:
        """Wait until it takes connections, `seconds` have passed or `going()` is false."""
        end = time.monotonic() + seconds
        while going() and time.monotonic() < end:
            try:
                psycopg.connect(self.dsn, connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(_POLL_SECONDS)
            else:
                return True
        return False


def cluster(folder: Path, *, port: int) -> Cluster:
    """Return a cluster in this folder, by the newest PostgreSQL of this machine. Raises PostgresMissing."""
    return Cluster(programs=_programs(), folder=folder, user=_unprivileged_user(), port=port)


def as_user(user: str) -> dict[str, Any]:
    """Return what subprocess needs to run a program as this user; nothing where we are no root."""
    if os.getuid() != 0:
        return {}
    record = pwd.getpwnam(user)
    return {"user": record.pw_uid, "group": record.pw_gid, "extra_groups": []}


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("postgres")
    if elsewhere is None:
        raise PostgresMissing("PostgreSQL's server programs are not installed.")
    return Path(elsewhere).parent


def _unprivileged_user() -> str:
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError as error:
        # Its own package makes that user.
        raise PostgresMissing("PostgreSQL refuses to run as root, and there is no user named postgres.") from error
