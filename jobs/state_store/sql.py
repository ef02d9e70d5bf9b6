"""States as rows of the site's own database: the local profile."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F

from jobs.errors import StateMissing, Superseded, Unavailable
from jobs.models import LiveState, OwnerFeed
from jobs.states import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator
    from uuid import UUID

    from jobs.states import JobState


class SqlStateStore:
    def create(self, state: JobState) -> bool:
        row = LiveState(job_id=state.job_id, version=state.version, document=to_json(state))
        with _ours(), _unsynced():
            try:
                # A savepoint of its own: PostgreSQL runs nothing more in a transaction after a refused statement.
                with transaction.atomic():
                    row.save(force_insert=True)
            except IntegrityError:
                return False
        return True

    def read(self, job_id: UUID) -> tuple[JobState, Hashable]:
        with _ours():
            row = LiveState.objects.filter(job_id=job_id).first()
        if row is None:
            raise StateMissing(f"Job {job_id} has no state.")
        return from_json(row.document), row.version

    def read_many(self, job_ids: Iterable[UUID]) -> dict[UUID, JobState]:
        with _ours():
            rows = LiveState.objects.in_bulk(list(job_ids))
        return {job_id: from_json(row.document) for job_id, row in rows.items()}

    def write(self, state: JobState, *, expected: Hashable) -> Hashable:
        with _ours(), _unsynced():
            # One conditional UPDATE is the whole compare-and-set: of two writers one finds no row to change.
            changed = LiveState.objects.filter(job_id=state.job_id, version=int(str(expected))).update(
                version=state.version,
                document=to_json(state),
            )
        if not changed:
            raise Superseded(self.read_many([state.job_id]).get(state.job_id))
        return state.version

    def raise_feed(self, owner: str) -> None:
        with _ours(), _unsynced():
            if not OwnerFeed.objects.filter(owner=owner).update(version=F("version") + 1):
                _, created = OwnerFeed.objects.get_or_create(owner=owner, defaults={"version": 1})
                if not created:
                    OwnerFeed.objects.filter(owner=owner).update(version=F("version") + 1)

    def delete(self, job_ids: Iterable[UUID]) -> None:
        with _ours(), _unsynced():
            LiveState.objects.filter(job_id__in=list(job_ids)).delete()


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise Unavailable("The database does not answer.") from error


@contextmanager
def _unsynced() -> Iterator[None]:
    """
    Do without waiting for the disk on SQLite, where every other commit of the site does wait.

    Live state is repairable: a power cut may take its last moments, and the sweep then finds the job. What is written
    here is on the disk with the next commit that waits, such as the settling of the job.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            cursor.execute("PRAGMA synchronous=FULL")
