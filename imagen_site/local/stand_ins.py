"""
What stands in for the cloud on this machine: Google's emulators, a stand-in for Cloud Storage, PostgreSQL.

Whatever the environment names already (PUBSUB_EMULATOR_HOST and the like, as `compose.yaml` offers them; DATABASE_URL)
is used as it is and not started here.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from imagen_site.local.emulators import firestore_command, pubsub_command, storage_command, wait_until_answers
from imagen_site.local.postgres import Cluster, PostgresMissing, cluster
from imagen_site.local.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from imagen_site.local.readiness import Say

DATABASE = "imagen"
_START_SECONDS = 60


@dataclass(frozen=True)
class CloudPorts:
    """Where the parts of the cloud listen on 127.0.0.1: a row of ports, which begins with Google's own for Pub/Sub."""

    pubsub: int = 8085
    firestore: int = 8086
    storage: int = 8087
    postgres: int = 8088
    webhooks: int = 8089

    @classmethod
    def from_first(cls, port: int) -> Self:
        return cls(*range(port, port + len(fields(cls))))


@dataclass(frozen=True)
class StandIn:
    """One of them: its program, the port it answers on, and what tells the others its address."""

    program: Program
    port: int
    variable: str
    address: str


class StandIns:
    """Those that this machine has to start, and what the programs of the site must be told of them."""

    def __init__(self, environment: Mapping[str, str], ports: CloudPorts, *, var_dir: Path) -> None:
        """Look at what is given and what is installed; raises EmulatorMissing."""
        self._given = environment
        self._emulators = list(_emulators(environment, ports, folder=var_dir / "storage"))
        self.cluster, self.without_postgres = _own_cluster(environment, ports, var_dir / "postgres")

    @property
    def programs(self) -> list[Program]:
        database = [] if self.cluster is None else [_postgres_program(self.cluster)]
        return [one.program for one in self._emulators] + database

    @property
    def ports(self) -> dict[str, int]:
        """The ports that must be free, by the names of their programs."""
        taken = {one.program.name: one.port for one in self._emulators}
        return taken if self.cluster is None else {**taken, "postgres": self.cluster.port}

    def environment(self) -> dict[str, str]:
        """Return the variables that name them."""
        named = {one.variable: one.address for one in self._emulators}
        if self.cluster is not None:
            named["DATABASE_URL"] = self.cluster.url_of(DATABASE)
        # Pub/Sub's emulator signs nothing: its pushes are known by what their address holds, anew at each start.
        named["PUSH_TOKEN"] = self._given.get("PUSH_TOKEN") or secrets.token_urlsafe(32)
        return named

    def wait(self, *, going: Callable[[], bool], say: Say) -> str:
        """Wait until all answer; return the name of one that did not, "" when all do."""
        for one in self._emulators:
            if not wait_until_answers(one.port, seconds=_START_SECONDS, going=going):
                return one.program.name
            say(f"{one.program.name}: answers at {one.address}")
        if self.cluster is not None:
            if not self.cluster.wait_until_answers(seconds=_START_SECONDS, going=going):
                return "postgres"
            self.cluster.ensure_database(DATABASE)
            say(f"postgres: answers at 127.0.0.1:{self.cluster.port}")
        return ""


def _emulators(environment: Mapping[str, str], ports: CloudPorts, *, folder: Path) -> Iterator[StandIn]:
    """Yield those of which the environment names none; what somebody else runs need not be installed here."""
    if not environment.get("PUBSUB_EMULATOR_HOST"):
        program = Program("pubsub", pubsub_command(ports.pubsub))
        yield StandIn(program, ports.pubsub, "PUBSUB_EMULATOR_HOST", f"127.0.0.1:{ports.pubsub}")
    if not environment.get("FIRESTORE_EMULATOR_HOST"):
        program = Program("firestore", firestore_command(ports.firestore))
        yield StandIn(program, ports.firestore, "FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{ports.firestore}")
    if not environment.get("STORAGE_EMULATOR_HOST"):
        program = Program("storage", storage_command(ports.storage, folder=folder))
        yield StandIn(program, ports.storage, "STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{ports.storage}")


def _own_cluster(environment: Mapping[str, str], ports: CloudPorts, folder: Path) -> tuple[Cluster | None, str]:
    """Return the cluster to start, or None and the sentence that says why SQLite takes its place."""
    if environment.get("DATABASE_URL"):
        return None, ""
    try:
        own = cluster(folder, port=ports.postgres)
        own.initialise()
    except PostgresMissing as error:
        return None, f"{error} SQLite takes its place."
    return own, ""


def _postgres_program(own: Cluster) -> Program:
    # SIGINT: the fast shutdown, which does not wait for clients.
    return Program("postgres", own.command, user=own.user, stop_signal="INT")
