"""
A job's life as one pure table: no I/O, no Django.

queued -> processing -> completed; failed and cancelled from either of the first two; processing -> queued only by
`release`. JobState is frozen: a move returns a new one with the next version, or raises; stores apply it atomically.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from jobs.errors import AttemptsExhausted, IllegalMove, JobBusy, JobOver
from jobs.provenance import separated

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HISTORY = 24
MAX_PREVIEW_BYTES = 16_384


class JobStatus(StrEnum):
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return not _NEXT[self]


class Stage(StrEnum):
    QUEUED = "queued"
    DOWNLOADING = "downloading"
    INFERRING = "inferring"
    UPLOADING = "uploading"
    DONE = "done"


_NEXT: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset(
        {JobStatus.PROCESSING, JobStatus.QUEUED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED},
    ),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}

# What a stage's own 0 to 1 means in the job's percentage: inference is nearly all of the work.
_STAGE_PERCENT: Mapping[Stage, tuple[int, int]] = {
    Stage.QUEUED: (0, 0),
    Stage.DOWNLOADING: (0, 3),
    Stage.INFERRING: (3, 96),
    Stage.UPLOADING: (96, 99),
    Stage.DONE: (100, 100),
}


@dataclass(frozen=True)
class StoredImage:
    """An image in the image store. width and height in pixels, upright; format as Pillow names it, lower case."""

    path: str
    width: int
    height: int
    bytes: int
    format: str

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def as_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "width": self.width,
            "height": self.height,
            "bytes": self.bytes,
            "format": self.format,
        }


@dataclass(frozen=True)
class StageChange:
    """One line of a job's history."""

    stage: Stage
    status: JobStatus
    version: int
    at: datetime


@dataclass(frozen=True)
class JobState:
    """A whole snapshot of a job: whoever has the newest `version` has missed only intermediate percentages."""

    job_id: UUID
    owner: str
    operation: str
    params: Mapping[str, Any]
    input: StoredImage
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    status: JobStatus = JobStatus.QUEUED
    version: int = 1
    attempt: int = 0
    lease_until: datetime | None = None
    stage: Stage = Stage.QUEUED
    progress: int = 0
    preview: bytes | None = None
    output: StoredImage | None = None
    engine: Mapping[str, Any] | None = None
    # How the engine made the output (jobs/provenance.py).
    provenance: Mapping[str, Any] | None = None
    error_code: str = ""
    error_message: str = ""
    # Seconds spent per stage; "queued" is the wait before the first claim.
    timings: Mapping[str, float] = field(default_factory=dict)
    history: tuple[StageChange, ...] = ()

    def claim(self, *, now: datetime, lease: timedelta, max_attempts: int) -> JobState:
        """
        Begin the job, or take it over from a worker whose lease has run out.

        Raises JobOver when it has ended, JobBusy while another worker's lease holds, AttemptsExhausted when it has
        been begun max_attempts times.
        """
        if self.status.terminal:
            raise JobOver(f"The job is {self.status}.")
        if self.status is JobStatus.PROCESSING and not self.lapsed(now=now):
            # The queue delivers at least once; the first worker is still alive.
            raise JobBusy("The job is being worked on.")
        return self._begin(now=now, lease=lease, max_attempts=max_attempts)

    def begin_again(self, *, now: datetime, lease: timedelta, max_attempts: int) -> JobState:
        """
        Begin the next attempt, by the worker that holds the job: the last one broke what it ran on.

        Raises AttemptsExhausted when it has been begun max_attempts times.
        """
        if self.status is not JobStatus.PROCESSING:
            raise IllegalMove(f"A job that is {self.status} cannot be begun again.")
        return self._begin(now=now, lease=lease, max_attempts=max_attempts)

    def _begin(self, *, now: datetime, lease: timedelta, max_attempts: int) -> JobState:
        if self.attempt >= max_attempts:
            raise AttemptsExhausted(f"The job was begun {self.attempt} times and never finished.")
        timings = dict(self.timings)
        timings.setdefault("queued", (now - self.created_at).total_seconds())
        return self._move(
            JobStatus.PROCESSING,
            Stage.DOWNLOADING,
            now=now,
            # A second attempt starts from nothing, so the percentage may fall here and nowhere else.
            progress=0,
            attempt=self.attempt + 1,
            lease_until=now + lease,
            timings=timings,
            preview=None,
        )

    def lapsed(self, *, now: datetime) -> bool:
        """Tell whether the worker that holds this job has been silent past its lease."""
        return self.status is JobStatus.PROCESSING and (self.lease_until is None or self.lease_until <= now)

    def report(
        self,
        *,
        now: datetime,
        lease: timedelta,
        stage: Stage,
        fraction: float = 0.0,
        preview: bytes | None = None,
    ) -> JobState:
        """Renew the lease and say how far the work is: fraction is 0 to 1 of this stage; the percentage never falls."""
        if self.status is not JobStatus.PROCESSING:
            raise IllegalMove(f"A job that is {self.status} has no progress to report.")
        low, high = _STAGE_PERCENT[stage]
        # In this order, NaN becomes 0: max() keeps its first argument when nothing compares.
        percent = low + int((high - low) * min(max(0.0, fraction), 1.0))
        return self._move(
            JobStatus.PROCESSING,
            stage,
            now=now,
            progress=max(self.progress, percent),
            lease_until=now + lease,
            preview=_small_enough(preview) or self.preview,
        )

    def complete(
        self,
        *,
        now: datetime,
        output: StoredImage,
        engine: Mapping[str, Any],
        timings: Mapping[str, float],
        provenance: Mapping[str, Any] | None = None,
        preview: bytes | None = None,
    ) -> JobState:
        """End the job with its result; preview is of that result, and what showed the work so far goes."""
        spent = {**self.timings, **timings}
        return self._move(
            JobStatus.COMPLETED,
            Stage.DONE,
            now=now,
            progress=100,
            output=output,
            engine=engine,
            provenance=provenance,
            timings=spent,
            lease_until=None,
            preview=_small_enough(preview),
        )

    def fail(self, *, now: datetime, code: str, message: str) -> JobState:
        return self._move(
            JobStatus.FAILED,
            self.stage,
            now=now,
            error_code=code,
            error_message=message,
            lease_until=None,
            preview=None,
        )

    def cancel(self, *, now: datetime) -> JobState:
        return self._move(JobStatus.CANCELLED, self.stage, now=now, lease_until=None, preview=None)

    def release(self, *, now: datetime) -> JobState:
        """Hand the job back through no fault of its own: it waits again, and the attempt does not count."""
        if self.status is not JobStatus.PROCESSING:
            raise IllegalMove(f"A job that is {self.status} cannot be handed back.")
        return self._move(
            JobStatus.QUEUED,
            Stage.QUEUED,
            now=now,
            progress=0,
            attempt=self.attempt - 1,
            lease_until=now,
            preview=None,
        )

    def _move(self, status: JobStatus, stage: Stage, *, now: datetime, **changes: Any) -> JobState:  # noqa: ANN401
        if status not in _NEXT[self.status]:
            raise IllegalMove(f"The job is {self.status}; it cannot become {status}.")
        version = self.version + 1
        history = self.history
        if (status, stage) != (self.status, self.stage):
            history = (*history, StageChange(stage, status, version, now))[-MAX_HISTORY:]
        return replace(
            self,
            status=status,
            stage=stage,
            version=version,
            history=history,
            updated_at=now,
            **changes,
        )


def _small_enough(preview: bytes | None) -> bytes | None:
    return None if preview is None or len(preview) > MAX_PREVIEW_BYTES else preview


def queued(
    *,
    job_id: UUID,
    owner: str,
    operation: str,
    params: Mapping[str, Any],
    image: StoredImage,
    now: datetime,
    expires_at: datetime,
) -> JobState:
    """Return the first state of a job."""
    return JobState(
        job_id=job_id,
        owner=owner,
        operation=operation,
        params=params,
        input=image,
        created_at=now,
        updated_at=now,
        expires_at=expires_at,
        history=(StageChange(Stage.QUEUED, JobStatus.QUEUED, 1, now),),
    )


def to_json(state: JobState) -> dict[str, Any]:
    """Return the stored document, in the field names of the design; JSON values only."""
    return {
        "job_id": str(state.job_id),
        "owner": state.owner,
        "operation": state.operation,
        "params": dict(state.params),
        "input": state.input.as_json(),
        "status": state.status.value,
        "version": state.version,
        "attempt": state.attempt,
        "lease_until": _time(state.lease_until),
        "stage": state.stage.value,
        "progress": state.progress,
        "preview": base64.b64encode(state.preview).decode() if state.preview else None,
        "output": state.output.as_json() if state.output else None,
        "engine": dict(state.engine) if state.engine is not None else None,
        "provenance": dict(state.provenance) if state.provenance is not None else None,
        "error": {"code": state.error_code, "message": state.error_message} if state.error_code else None,
        "timings": dict(state.timings),
        "history": [
            {"stage": line.stage.value, "status": line.status.value, "version": line.version, "at": line.at.isoformat()}
            for line in state.history
        ],
        "created_at": state.created_at.isoformat(),
        "updated_at": state.updated_at.isoformat(),
        "expires_at": state.expires_at.isoformat(),
    }


def from_json(document: Mapping[str, Any]) -> JobState:
    """Return the state that `to_json` wrote, an older one's too."""
    error = document["error"] or {"code": "", "message": ""}
    engine, provenance = separated(document["engine"], document.get("provenance"))
    return JobState(
        job_id=UUID(document["job_id"]),
        owner=document["owner"],
        operation=document["operation"],
        params=document["params"],
        input=StoredImage(**document["input"]),
        created_at=datetime.fromisoformat(document["created_at"]),
        updated_at=datetime.fromisoformat(document["updated_at"]),
        expires_at=datetime.fromisoformat(document["expires_at"]),
        status=JobStatus(document["status"]),
        version=document["version"],
        attempt=document["attempt"],
        lease_until=datetime.fromisoformat(document["lease_until"]) if document["lease_until"] else None,
        stage=Stage(document["stage"]),
        progress=document["progress"],
        preview=base64.b64decode(document["preview"]) if document["preview"] else None,
        output=StoredImage(**document["output"]) if document["output"] else None,
        engine=engine,
        provenance=provenance,
        error_code=error["code"],
        error_message=error["message"],
        timings=document["timings"],
        history=tuple(
            StageChange(
                Stage(line["stage"]),
                JobStatus(line["status"]),
                line["version"],
                datetime.fromisoformat(line["at"]),
            )
            for line in document["history"]
        ),
    )


def _time(value: datetime | None) -> str | None:
    return value.isoformat() if value else None
