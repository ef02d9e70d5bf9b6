"""Google's emulators, and a site of the cloud's profile over them, for as long as a block runs."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from imagen_site.local.emulators import COMMANDS, wait_until_answers
from jobs.operations import OPERATIONS
from jobs.state_store.firestore import FirestoreStateStore
from jobs.state_store.firestore_channel import FirestoreDatabase
from tests.running_site import RunningSite, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = {"pubsub": "PUBSUB_EMULATOR_HOST", "firestore": "FIRESTORE_EMULATOR_HOST", "storage": "STORAGE_EMULATOR_HOST"}


@contextmanager
def emulators(*kinds: str) -> Iterator[dict[str, str]]:
    """Run these kinds, by default all; yield the variables that name them to a process."""
    hosts = {}
    with ExitStack() as running:
        for kind in kinds or KINDS:
            host = running.enter_context(_emulator(kind))
            hosts[KINDS[kind]] = f"http://{host}" if kind == "storage" else host
            if kind == "firestore":
                _first_call(host)
        yield hosts


@contextmanager
def _emulator(kind: str) -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryFile() as log, subprocess.Popen(COMMANDS[kind](port), stdout=log, stderr=log) as server:
        try:
            assert wait_until_answers(port, seconds=60, going=lambda: server.poll() is None), kind
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def _first_call(host: str) -> None:
    """Make the first call, which takes a cold Firestore emulator seconds; a site would take that for an outage."""
    store = FirestoreStateStore(
        FirestoreDatabase(project="first-call", emulator_host=host), timeout=timedelta(seconds=60)
    )
    store.raise_feed("nobody")
    store.close()


@contextmanager
def cloud_site(folder: Path, triton_url: str, *, workers: bool = True, **told: str) -> Iterator[RunningSite]:
    """
    Run web and, with workers, one for each operation, the webhooks service and the sweep; the SQL is SQLite.

    told: variables beside those that name the emulators.
    """
    with emulators() as hosts:
        settings = {**hosts, "IMAGEN_PROFILE": "emulators", "PUSH_TOKEN": "for the emulator of this benchmark", **told}
        site = RunningSite(folder / "cloud", triton_url, settings, concurrency=4)
        port = free_port()
        try:
            site.prepare()
            site.manage("prepare_emulators", f"http://127.0.0.1:{port}")
            site.start_web()
            if workers:
                site.start_webhooks(port)
                site.start_sweep()
                for operation in OPERATIONS.values():
                    site.start_worker(operation.worker, operation.topic, IMAGEN_SERVICE="worker")
            yield site
        finally:
            site.stop()
