"""job_view(): the one shape of a job in the API, the page and the socket; and the look-ups behind them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import structlog
from django.db.models import Q

from jobs.errors import InvalidParameters, JobNotFound, Unavailable
from jobs.models import Job
from jobs.operations import OPERATIONS
from jobs.provenance import separated
from jobs.states import JobState, JobStatus, Stage, StoredImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accounts.models import Account
    from jobs.models import JobQuerySet
    from jobs.state_store import JobStateStore

log = structlog.get_logger(__name__)

# What a person may see of an account's unfinished jobs at once when filtering by a live status.
MAX_LIVE = 2_000


class SignLink(Protocol):
    def __call__(self, path: str, *, filename: str) -> str: ...


def find_job(*, account: Account, job_id: UUID) -> Job:
    """Return an account's job; raises JobNotFound, for a stranger's job too."""
    job = owned_by(account).filter(id=job_id).first()
    if job is None:
        raise JobNotFound
    return job


def owned_by(account: Account) -> JobQuerySet:
    """Return an account's jobs, newest first."""
    return jobs_of(account.pk)


def jobs_of(owner: str | UUID) -> JobQuerySet:
    """Return the jobs of an account by its id, newest first."""
    return Job.objects.owned_by(owner).order_by("-requested_at", "-id")


def newer_than(job: Job, owner: str) -> JobQuerySet:
    """Return the jobs of an account that were asked for after one of them, newest first."""
    return _on_one_side(jobs_of(owner), job.requested_at, job.id, side="gt")


def with_status(jobs: JobQuerySet, status: JobStatus, *, states: JobStateStore) -> JobQuerySet:
    """Narrow to jobs of a status: settled ones by SQL's mirror, the others by their live state."""
    unsettled = list(jobs.unsettled().values_list("id", flat=True)[:MAX_LIVE])
    live = states.read_many(unsettled)
    fitting = [job_id for job_id in unsettled if _status(live.get(job_id)) is status]
    if not status.terminal:
        return jobs.filter(id__in=fitting)
    return jobs.filter(settled_at__isnull=False, status=status) | jobs.filter(id__in=fitting)


@dataclass(frozen=True)
class Page:
    """Some jobs, newest first, and the cursors of the pages beside them; None where there is none."""

    jobs: list[Job]
    next: str | None
    previous: str | None


def page_of(jobs: JobQuerySet, *, size: int, cursor: str = "") -> Page:
    """
    Return the newest jobs, or those beside the page that the cursor is of.

    A cursor names a job and a direction, never a number of jobs: what is added meanwhile moves nothing, also when many
    jobs were asked for in one moment. Raises InvalidParameters for a cursor that is none of ours.
    """
    newer, beside = _read_cursor(cursor) if cursor else (False, None)
    if beside is not None:
        jobs = _on_one_side(jobs, *beside, side="gt" if newer else "lt")
    order = ("requested_at", "id") if newer else ("-requested_at", "-id")
    found = list(jobs.order_by(*order)[: size + 1])
    more, found = len(found) > size, found[:size]
    if newer:
        found.reverse()
    return Page(
        found,
        next=_cursor("older", found[-1]) if found and (more or newer) else None,
        previous=_cursor("newer", found[0]) if found and (more if newer else beside is not None) else None,
    )


def job_views(jobs: Iterable[Job], *, states: JobStateStore, sign: SignLink) -> list[dict[str, Any]]:
    """Return the views of several jobs with one read of the state store; while that is away, as SQL knows them."""
    listed = list(jobs)
    live = _states_of(listed, states)
    return [job_view(job, live.get(job.id), sign=sign) for job in listed]


def current_view(job: Job, *, states: JobStateStore, sign: SignLink) -> dict[str, Any]:
    """Return the view of one job as it is now; while the state store is away, as SQL knows it."""
    return job_views([job], states=states, sign=sign)[0]


def job_view(job: Job, state: JobState | None, *, sign: SignLink) -> dict[str, Any]:
    """Return a job as everybody sees it; while there is no live state, as SQL knows it."""
    seen = _from_sql(job) if state is None or job.settled_at is not None else _from_state(state)
    output: StoredImage | None = seen.pop("output")
    return {
        "job_id": str(job.id),
        "operation": job.operation,
        "params": job.params,
        **seen,
        "credits": job.credits,
        "input": _image(job.input, job.filename, gone=job.purged_at is not None, sign=sign),
        "output": _image(output, result_name(job, output), gone=job.purged_at is not None, sign=sign)
        if output
        else None,
        "parent": str(job.parent_id) if job.parent_id else None,
        "created_at": job.requested_at.isoformat(),
        "expires_at": job.expires_at.isoformat(),
    }


def settings_used(view: Mapping[str, Any]) -> dict[str, Any]:
    """Return from a job's view the settings of its run that were asked for or chosen: a default tells nothing."""
    used: dict[str, Any] = (view["provenance"] or {}).get("parameters", {})
    operation = OPERATIONS.get(view["operation"])
    return operation.apart_from_defaults(used) if operation else used


def result_name(job: Job, output: StoredImage) -> str:
    """Return the file name that a result is downloaded under: the photo's own, then what was done to it."""
    stem = job.filename.rpartition(".")[0] or job.filename
    return f"{stem}-{job.operation.replace('_', '-')}.{output.path.rpartition('.')[2]}"


def _on_one_side(jobs: JobQuerySet, requested_at: datetime, job_id: UUID, *, side: str) -> JobQuerySet:
    beyond = Q(**{f"requested_at__{side}": requested_at}) | Q(**{f"id__{side}": job_id})
    # The first condition says nothing that the second does not; it is the one that an index can begin at.
    return jobs.filter(beyond, **{f"requested_at__{side}e": requested_at})


def _cursor(direction: str, job: Job) -> str:
    return base64.urlsafe_b64encode(f"{direction} {job.id} {job.requested_at.isoformat()}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[bool, tuple[datetime, UUID]]:
    """Return whether newer jobs are asked for, and the job that they are newer or older than."""
    try:
        direction, job_id, requested_at = base64.urlsafe_b64decode(cursor).decode().split(" ")
        moment = datetime.fromisoformat(requested_at).astimezone(UTC)
        return {"newer": True, "older": False}[direction], (moment, UUID(job_id))
    except (ValueError, KeyError, OverflowError) as error:
        raise InvalidParameters({"cursor": ["Take it from `next` or `previous` as it is."]}) from error


def _states_of(jobs: Iterable[Job], states: JobStateStore) -> dict[UUID, JobState]:
    unsettled = [job.id for job in jobs if job.settled_at is None]
    try:
        return states.read_many(unsettled) if unsettled else {}
    except Unavailable as error:
        # Whoever looks sees the job, if without its progress; its version is then lower than any that was seen.
        log.warning("shown_without_live_state", jobs=len(unsettled), error=str(error))
        return {}


def _status(state: JobState | None) -> JobStatus:
    return JobStatus.QUEUED if state is None else state.status


def _from_state(state: JobState) -> dict[str, Any]:
    return {
        "status": state.status.value,
        "version": state.version,
        "stage": state.stage.value,
        "progress": state.progress,
        "attempt": state.attempt,
        "preview": _data_uri(state.preview),
        "error": {"code": state.error_code, "message": state.error_message} if state.error_code else None,
        "engine": dict(state.engine) if state.engine is not None else None,
        "provenance": dict(state.provenance) if state.provenance is not None else None,
        "timings": dict(state.timings),
        "updated_at": state.updated_at.isoformat(),
        "completed_at": state.updated_at.isoformat() if state.status.terminal else None,
        "output": state.output,
    }


def _from_sql(job: Job) -> dict[str, Any]:
    ended = job.settled_at is not None
    outcome = job.outcome
    engine, provenance = separated(outcome.get("engine"), outcome.get("provenance"))
    completed_at = job.completed_at.isoformat() if job.completed_at else None
    return {
        "status": job.status,
        "version": outcome.get("version", 0),
        "stage": outcome.get("stage", Stage.QUEUED.value),
        "progress": outcome.get("progress", 0),
        "attempt": job.attempts,
        "preview": None,
        "error": {"code": job.error_code, "message": job.error_message} if job.error_code else None,
        "engine": engine,
        "provenance": provenance,
        "timings": outcome.get("timings", {}),
        "updated_at": completed_at if ended else job.requested_at.isoformat(),
        "completed_at": completed_at,
        "output": StoredImage(**outcome["output"]) if outcome.get("output") else None,
    }


def _image(image: StoredImage, filename: str, *, gone: bool, sign: SignLink) -> dict[str, Any]:
    return {
        "filename": filename,
        "width": image.width,
        "height": image.height,
        "bytes": image.bytes,
        "format": image.format,
        "url": None if gone else sign(image.path, filename=filename),
    }


def _data_uri(preview: bytes | None) -> str | None:
    return "data:image/jpeg;base64," + base64.b64encode(preview).decode() if preview else None
