"""
The emulators of the cloud, each started once for the session on a free port of 127.0.0.1, and a project for each test.

Such tests are marked `emulator` and `xdist_group("emulators")`: in one worker of pytest-xdist they share the servers.
Nothing is put into the environment: clients are told the addresses.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from imagen_site.local.emulators import COMMANDS, EmulatorMissing, wait_until_answers
from jobs.cloud_storage import BucketStorage
from jobs.state_store.firestore import FirestoreStateStore
from jobs.state_store.firestore_channel import FirestoreDatabase
from tests.running_site import free_port

START_SECONDS = 60


class Emulator:
    """One emulator on a port of its own, which it keeps when it is started again, as its clients expect."""

    def __init__(self, kind: str, log: Path, **options: Path) -> None:
        """kind: a key of COMMANDS; options: of its command. Raises EmulatorMissing."""
        self.port = free_port()
        self._command = COMMANDS[kind](self.port, **options)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """host:port, as the *_EMULATOR_HOST variables of Pub/Sub and Firestore have it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """http://host:port, as STORAGE_EMULATOR_HOST has it."""
        return f"http://{self.host}"

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, from the main thread: the kernel would end it with any other thread that started it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if not wait_until_answers(self.port, seconds=START_SECONDS, going=lambda: self.runs):
            pytest.fail(f"{self._command[0]} did not start: {self._log.read_text()[-3000:]}")

    def pause(self) -> None:
        """Freeze it: connections stay open, nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a power cut would; what it held in memory is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=START_SECONDS)


@pytest.fixture(scope="session")
def pubsub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    yield from _session("pubsub", tmp_path_factory)


@pytest.fixture(scope="session")
def firestore_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    yield from _session("firestore", tmp_path_factory)


@pytest.fixture(scope="session")
def storage_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    yield from _session("storage", tmp_path_factory)


@pytest.fixture
def pubsub_emulator(pubsub_server: Emulator) -> Emulator:
    """Google's Pub/Sub emulator, running; a test may kill it, the next one finds it running again."""
    return _running(pubsub_server)


@pytest.fixture
def firestore_emulator(firestore_server: Emulator) -> Emulator:
    """Google's Firestore emulator, running; a test may kill it, the next one finds it running again."""
    return _running(firestore_server)


@pytest.fixture
def storage_emulator(storage_server: Emulator) -> Emulator:
    """A stand-in for Cloud Storage, running; a test may kill it, the next one finds it running again."""
    return _running(storage_server)


_projects = count(1)


@pytest.fixture
def project() -> str:
    """The name of a cloud project that no other test has used: emulators make one of any name."""
    return f"test-project-{next(_projects)}"


@pytest.fixture
def firestore_database(firestore_emulator: Emulator, project: str) -> FirestoreDatabase:
    """An empty Firestore database."""
    return FirestoreDatabase(project=project, emulator_host=firestore_emulator.host)


@pytest.fixture
def firestore_store(firestore_database: FirestoreDatabase) -> Iterator[FirestoreStateStore]:
    # The first call of a fresh emulator takes seconds where the machine is busy.
    store = FirestoreStateStore(firestore_database, timeout=timedelta(seconds=30))
    yield store
    store.close()


def _session(kind: str, folders: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(kind, folders.mktemp(kind) / "log") as emulator:
        yield emulator


@contextmanager
def running_emulator(kind: str, log: Path, **options: Path) -> Iterator[Emulator]:
    try:
        emulator = Emulator(kind, log, **options)
    except EmulatorMissing as error:
        # On CI tests/no_skips.py makes a failure of this.
        pytest.skip(str(error))
    emulator.start()
    try:
        yield emulator
    finally:
        emulator.kill()


def _running(emulator: Emulator) -> Emulator:
    if not emulator.runs:
        emulator.start()
    return emulator


@pytest.fixture
def bucket(storage_emulator: Emulator, project: str) -> BucketStorage:
    """An empty bucket of its own in the stand-in for Cloud Storage."""
    storage = BucketStorage(project=project, bucket=f"{project}-photos", endpoint=storage_emulator.url)
    storage.client.create_bucket(storage.bucket_name)
    return storage
