"""What only the store over Firestore can do wrong; the contract of every store is in test_state_store.py."""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.api_core import exceptions
from google.cloud.firestore_v1.types import Document
from structlog.testing import capture_logs

from jobs.errors import Superseded, Unavailable
from jobs.state_store.firestore import FirestoreStateStore
from jobs.state_store.firestore_channel import FirestoreDatabase
from jobs.state_store.firestore_documents import document_of, state_of
from jobs.tests.changes import state_of as new_state
from jobs.tests.conftest import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobs.state_store import JobStateStore
    from jobs.states import JobState
    from tests.emulator_fixtures import Emulator

LEASE = timedelta(seconds=60)


def claimed(state: JobState) -> JobState:
    return state.claim(now=NOW, lease=LEASE, max_attempts=5)


CALLS: list[Callable[[JobStateStore, JobState], object]] = [
    lambda store, state: store.create(state),
    lambda store, state: store.write(claimed(state), expected=1),
    lambda store, _state: store.raise_feed("alice"),
    lambda store, state: store.delete([state.job_id]),
    lambda store, state: store.read(state.job_id),
    lambda store, state: store.read_many([state.job_id]),
]


class TestADocument:
    def test_keeps_whatever_a_parameter_or_an_engine_may_say(self) -> None:
        said = {
            "none": None,
            "no": False,
            "one": 1,
            "one.0": 1.0,
            "empty": {},
            "list": [1, "é", []],
            "größe": {"a": [{}]},
        }
        state = new_state(params=said, engine=said, preview=b"\x00\xff")

        again = state_of(document_of(state, name="jobs/x"))

        assert again == state
        assert [type(again.params[key]) for key in ("no", "one", "one.0")] == [bool, int, float]

    def test_has_times_that_firestore_can_clean_up_by(self) -> None:
        state = new_state()

        fields = Document.pb(document_of(state, name="jobs/x")).fields

        assert fields["expires_at"].WhichOneof("value_type") == "timestamp_value"
        assert fields["expires_at"].timestamp_value.ToDatetime(tzinfo=NOW.tzinfo) == state.expires_at
        assert fields["preview"].WhichOneof("value_type") == "null_value"

    def test_of_another_shape_is_told_apart(self) -> None:
        with pytest.raises(KeyError):
            state_of(Document(name="jobs/x"))


class DeniedClient:
    """A client of an account that may not read this database."""

    def get_document(self, *_arguments: Any, **_named: Any) -> None:
        raise exceptions.PermissionDenied("Missing or insufficient permissions.")


class TestAnAccountWithoutItsRights:
    def test_is_an_outage_that_has_a_line_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FirestoreDatabase, "client", lambda _database: DeniedClient())
        store = FirestoreStateStore(FirestoreDatabase("imagen-test"))

        with capture_logs() as lines, pytest.raises(Unavailable):
            store.read(uuid4())

        assert [(line["event"], line["error"]) for line in lines] == [("state_store_denied", "PermissionDenied")]


class AnswersLost:
    """A client whose writes arrive while their answers do not."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def commit(self, *arguments: Any, **named: Any) -> None:
        self.commits += 1
        self._client.commit(*arguments, **named)
        raise exceptions.ServiceUnavailable("Connection reset by peer")


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.emulator
@pytest.mark.xdist_group("emulators")
class TestTheFirestoreStore:
    def test_lets_a_write_be_tried_again_whose_answer_was_lost(
        self, firestore_store: FirestoreStateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = new_state()
        firestore_store.create(state)
        _, version = firestore_store.read(state.job_id)
        losing = AnswersLost(firestore_store._client.get())
        with monkeypatch.context() as patch:
            patch.setattr(firestore_store._client, "get", lambda: losing)
            with pytest.raises(Unavailable):
                firestore_store.write(claimed(state), expected=version)

        again = firestore_store.write(claimed(state), expected=version)

        assert losing.commits == 1
        assert firestore_store.read(state.job_id) == (claimed(state), again)

    def test_takes_no_write_of_somebody_else_for_its_own(
        self, firestore_store: FirestoreStateStore, firestore_database: FirestoreDatabase
    ) -> None:
        state = new_state()
        firestore_store.create(state)
        _, version = firestore_store.read(state.job_id)
        other = FirestoreStateStore(firestore_database)
        other.write(claimed(state), expected=version)
        other.close()

        # The same move in the same microsecond: equal in every field, and still not ours.
        with pytest.raises(Superseded):
            firestore_store.write(claimed(state), expected=version)

    @pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
    def test_refuses_every_write_of_a_worker_that_missed_the_end(
        self, firestore_store: FirestoreStateStore, end: str
    ) -> None:
        state = new_state()
        firestore_store.create(state)
        version = firestore_store.write(claimed(state), expected=firestore_store.read(state.job_id)[1])
        over = {
            "complete": lambda: claimed(state).complete(now=NOW, output=state.input, engine={}, timings={}),
            "fail": lambda: claimed(state).fail(now=NOW, code="internal", message="It broke."),
            "cancel": lambda: claimed(state).cancel(now=NOW),
        }[end]()
        firestore_store.write(over, expected=version)

        for late in (claimed(state).release(now=NOW), claimed(state).cancel(now=NOW), over):
            with pytest.raises(Superseded) as lost:
                firestore_store.write(late, expected=version)
            assert lost.value.winner == over

    def test_reads_and_deletes_more_jobs_than_one_commit_may_hold(self, firestore_store: FirestoreStateStore) -> None:
        state = new_state()
        firestore_store.create(state)
        others = [new_state().job_id for _ in range(600)]

        assert firestore_store.read_many([*others, state.job_id]) == {state.job_id: state}
        firestore_store.delete([*others, state.job_id])

        assert firestore_store.read_many([state.job_id]) == {}

    def test_says_that_an_outage_is_worth_a_retry_and_is_there_again_after_it(
        self, firestore_emulator: Emulator, firestore_store: FirestoreStateStore
    ) -> None:
        state = new_state()
        firestore_store.create(state)

        firestore_emulator.kill()
        began = time.monotonic()
        for call in CALLS:
            with pytest.raises(Unavailable) as refusal:
                call(firestore_store, state)
            assert refusal.value.retryable
        silent = time.monotonic() - began
        firestore_emulator.start()

        # Refused, not waited for: whoever calls has his own patience.
        assert silent < 25
        assert _in_time(lambda: firestore_store.create(state))

    def test_waits_no_longer_than_it_was_told_for_a_server_that_says_nothing(
        self, firestore_database: FirestoreDatabase, silent_server: str
    ) -> None:
        database = type(firestore_database)(project="test", emulator_host=silent_server)
        store = FirestoreStateStore(database, timeout=timedelta(milliseconds=100))

        for call in CALLS:
            began = time.monotonic()
            with pytest.raises(Unavailable):
                call(store, new_state())
            assert time.monotonic() - began < 2
        store.close()

    def test_works_in_a_forked_child_of_a_process_that_used_it(self, firestore_store: FirestoreStateStore) -> None:
        state = new_state()
        firestore_store.create(state)

        child = os.fork()
        if not child:
            os._exit(_read_in_child(firestore_store, state))
        _, status = os.waitpid(child, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        assert firestore_store.read(state.job_id)[0] == state


def _read_in_child(store: FirestoreStateStore, state: JobState) -> int:
    try:
        return int(store.read(state.job_id)[0] != state)
    except BaseException:  # noqa: BLE001 - whatever it is, the child must not go on as a second pytest
        return 2


def _in_time(call: Callable[[], object]) -> object:
    """Make a call that may fail for the second in which the connection comes back."""
    for _ in range(200):
        try:
            return call()
        except Unavailable:
            time.sleep(0.1)
    return call()
