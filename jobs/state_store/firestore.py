"""
States as documents of Firestore: the cloud's profile.

A document's `update_time` is the version that `read` and `write` hand out. A write names the one it expects, so that it
is one call, and of two writers one is refused; the version inside the document counts as in every store.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    CommitRequest,
    CommitResponse,
    Document,
    DocumentMask,
    DocumentTransform,
    GetDocumentRequest,
    Precondition,
    Value,
    Write,
)
from google.protobuf.timestamp_pb2 import Timestamp

from jobs.errors import StateMissing, Superseded, Unavailable
from jobs.state_store.firestore_channel import ProcessClient
from jobs.state_store.firestore_documents import document_of, state_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator
    from uuid import UUID

    from jobs.state_store.firestore_channel import FirestoreDatabase
    from jobs.states import JobState

log = structlog.get_logger(__name__)

# Google's limit on the writes of one commit.
_MAX_WRITES = 500
# Writes without an answer are remembered until they are tried again; most are, within seconds.
_MAX_DOUBTS = 1000


class FirestoreStateStore:
    """
    A JobStateStore over Firestore, for many threads and processes.

    timeout: of each call; what has not been answered by then is Unavailable.
    """

    def __init__(self, database: FirestoreDatabase, *, timeout: timedelta = timedelta(seconds=5)) -> None:
        self._name = database.name
        self._client = ProcessClient(database)
        self._seconds = timeout.total_seconds()
        self._doubts = _Doubts()

    def create(self, state: JobState) -> bool:
        document = document_of(state, name=self._name.job(state.job_id))
        with _ours():
            try:
                self._commit(Write(update=document, current_document=Precondition(exists=False)))
            except exceptions.AlreadyExists:
                return False
        return True

    def read(self, job_id: UUID) -> tuple[JobState, Hashable]:
        request = GetDocumentRequest(name=self._name.job(job_id))
        with _ours():
            try:
                document = self._client.get().get_document(request, retry=None, timeout=self._seconds)
            except exceptions.NotFound as error:
                raise StateMissing(f"Job {job_id} has no state.") from error
        return state_of(document), _version(Document.pb(document).update_time)

    def read_many(self, job_ids: Iterable[UUID]) -> dict[UUID, JobState]:
        names = [self._name.job(job_id) for job_id in job_ids]
        if not names:
            return {}
        request = BatchGetDocumentsRequest(database=str(self._name), documents=names)
        with _ours():
            answers = list(self._client.get().batch_get_documents(request, retry=None, timeout=self._seconds))
        states = [state_of(answer.found) for answer in answers if "found" in answer]
        return {state.job_id: state for state in states}

    def write(self, state: JobState, *, expected: Hashable) -> Hashable:
        document = document_of(state, name=self._name.job(state.job_id))
        condition = Precondition(update_time=_update_time(expected))
        with _ours():
            try:
                version = self._commit(Write(update=document, current_document=condition))
            except (exceptions.FailedPrecondition, exceptions.NotFound):
                return self._version_if_ours(state)
            except exceptions.GoogleAPICallError:
                self._doubts.add(state)
                raise
        self._doubts.settle(state)
        return version

    def raise_feed(self, owner: str) -> None:
        version = DocumentTransform.FieldTransform(field_path="version", increment=Value(integer_value=1))
        # An empty mask: nothing but the sum, and the document with it where there is none.
        write = Write(
            update=Document(name=self._name.owner(owner)), update_mask=DocumentMask(), update_transforms=[version]
        )
        with _ours():
            self._commit(write)

    def delete(self, job_ids: Iterable[UUID]) -> None:
        writes = [Write(delete=self._name.job(job_id)) for job_id in job_ids]
        with _ours():
            for start in range(0, len(writes), _MAX_WRITES):
                self._commit(*writes[start : start + _MAX_WRITES])

    def close(self) -> None:
        self._client.close()

    def _commit(self, *writes: Write) -> Hashable:
        """Make the writes, all or none; return the version of the last one. Without a retry: it would hide a doubt."""
        request = CommitRequest(database=str(self._name), writes=writes)
        answer = self._client.get().commit(request, retry=None, timeout=self._seconds)
        return _version(CommitResponse.pb(answer).write_results[-1].update_time)

    def _version_if_ours(self, state: JobState) -> Hashable:
        """Return the version of a write that had arrived although its answer did not; else raise Superseded."""
        try:
            winner, version = self.read(state.job_id)
        except StateMissing:
            raise Superseded(None) from None
        if self._doubts.settle(state) and winner == state:
            return version
        raise Superseded(winner)


class _Doubts:
    """
    The writes of this process whose answer did not come.

    Without them, whoever tries such a write again would lose to himself: a worker would drop the job it has just
    claimed. To compare the states alone is not enough, since two workers may claim in the same microsecond.
    """

    def __init__(self) -> None:
        self._states: dict[UUID, JobState] = {}
        self._lock = threading.Lock()

    def add(self, state: JobState) -> None:
        with self._lock:
            self._states[state.job_id] = state
            while len(self._states) > _MAX_DOUBTS:
                del self._states[next(iter(self._states))]

    def settle(self, state: JobState) -> bool:
        """Forget what was in doubt of this job; return whether it was this state."""
        with self._lock:
            return self._states.pop(state.job_id, None) == state


def _version(time: Timestamp) -> int:
    return time.ToNanoseconds()


def _update_time(version: Hashable) -> Timestamp:
    time = Timestamp()
    time.FromNanoseconds(int(str(version)))
    return time


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except exceptions.InvalidArgument:
        # A document that Firestore cannot hold: no outage, and no better the next time.
        raise
    except (exceptions.GoogleAPICallError, GoogleAuthError) as error:
        # A refusal for lack of rights too: it passes when somebody grants them, and no job should be lost to it. But
        # nobody grants them who is not told, so it has a line of its own.
        if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
            log.error("state_store_denied", error=type(error).__name__)  # noqa: TRY400 - no bug of ours to be traced
        raise Unavailable("The job store does not answer.") from error
