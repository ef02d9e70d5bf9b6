"""
The cloud's services over the emulators and the real model server, once for the session.

Such tests are in the group "cloud": beside the group "triton", with a Triton of their own where another process of
pytest-xdist has them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.cloud_site import Addresses, CloudSite
from tests.emulator_fixtures import Emulator, running_emulator
from tests.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres_fixtures import PostgresServer
    from triton_models.local_triton import LocalTriton

# Short, so that a test need not wait minutes for what takes minutes in earnest.
QUICK = {
    "JOB_LEASE_SECONDS": "6",
    "JOB_RENEW_SECONDS": "1.5",
    "JOB_REPUBLISH_SECONDS": "15",
    "SWEEP_SECONDS": "1",
    "DRAIN_SECONDS": "6",
}


@dataclass(frozen=True)
class Cloud:
    """The site, and what stands between it and its parts: each can be taken away, and comes back as it was."""

    site: CloudSite
    pubsub: Gate
    firestore: Gate
    database: Gate
    storage: Emulator
    triton: LocalTriton
    firestore_itself: str
    # Threads that outlive every test: what a thread starts is ended with it (setpriv --pdeathsig).
    hands: ThreadPoolExecutor


@pytest.fixture(scope="session")
def running_cloud(
    triton_server: LocalTriton,
    pubsub_server: Emulator,
    firestore_server: Emulator,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    postgres_server.create_database("cloud")
    with ExitStack() as stack:
        hands = stack.enter_context(ThreadPoolExecutor(3))
        pubsub, firestore, database = (
            stack.enter_context(Gate(port))
            for port in (pubsub_server.port, firestore_server.port, postgres_server.cluster.port)
        )
        # Known by its own address, which links name; and with a folder, it loses nothing when it is killed.
        storage = stack.enter_context(running_emulator("storage", folder / "storage.log", folder=folder / "storage"))
        site = CloudSite(
            var_dir=folder / "var",
            triton_url=triton_server.grpc_url,
            settings=QUICK,
            # Ten jobs at once are enough for a model server that has two cores or fewer.
            concurrency=2,
            addresses=Addresses(
                pubsub=pubsub.host,
                firestore=firestore.host,
                storage=storage.url,
                database=postgres_server.cluster.url_of("cloud").replace(
                    f":{postgres_server.cluster.port}/", f":{database.port}/"
                ),
            ),
        )
        stack.enter_context(site)
        yield Cloud(site, pubsub, firestore, database, storage, triton_server, firestore_server.host, hands)


@pytest.fixture
def cloud(running_cloud: Cloud, triton: LocalTriton) -> Cloud:
    """The cloud with every part up; a test may take parts away, the next one finds them running again."""
    for gate in (running_cloud.pubsub, running_cloud.firestore, running_cloud.database):
        gate.open()
    if not running_cloud.storage.runs:
        running_cloud.storage.start()
    running_cloud.site.start_all()
    return running_cloud
