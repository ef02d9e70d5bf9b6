"""One photo of a bulk run and the job to be made of it; here of a job that there is, in folder.py of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol

from jobs import uploads
from jobs.errors import ObjectMissing
from jobs.models import Job
from jobs.operations import OPERATIONS
from jobs.submission import Submission, values_again
from jobs.uploads import Upload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from accounts.models import Account
    from jobs.operations import Operation
    from jobs.services import JobService


class Skipped(Exception):
    """There is nothing to do here, for a reason with a code; no failure."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class NotDone(Exception):
    """A failure that is the operator's to mend."""

    code: ClassVar[str]


class CannotRead(NotDone):
    """This machine does not let us read a file or folder."""

    code = "unreadable_file"


class DoneOtherwise(NotDone):
    code = "done_otherwise"

    def __init__(self, run: str) -> None:
        super().__init__(f"The run {run} did something else with it before; give this one another name with --run.")


class Work(Protocol):
    """Holds one photo's bytes at most, and only from the moment that they are needed."""

    @property
    def name(self) -> str:
        """What an operator calls it."""

    @property
    def account(self) -> Account:
        """Whose job it is; raises Skipped."""

    def key(self) -> str:
        """Return what tells this work from any other of its run; raises Skipped or a JobError."""

    def is_of(self, job: Job) -> bool:
        """Tell whether a job of an earlier call did the same as this work would."""

    def sketch(self) -> Submission:
        """Return what would be submitted, perhaps without the photo's bytes; raises Skipped or a JobError."""

    def understand(self, idempotency_key: str) -> Submission:
        """Return what is to be submitted; raises Skipped or a JobError."""


@dataclass(frozen=True)
class Rerun:
    """A job's photo, once more."""

    service: JobService
    job: Job
    operation: Operation | None
    values: Mapping[str, Any]
    free: bool = False

    @property
    def name(self) -> str:
        return str(self.job.id)

    @property
    def account(self) -> Account:
        return self.job.account

    def key(self) -> str:
        return str(self.job.id)

    def is_of(self, job: Job) -> bool:
        wanted = self._operation.clean(values_again(self.job, self._operation, self.values))
        asked = {name: wanted[name] for name in self.values}
        return job.operation == self._operation.name and asked.items() <= job.params.items()

    def sketch(self) -> Submission:
        job, operation, limits = self.job, self._operation, self.service.limits_of(self.job.account)
        self._check_kept()
        params = operation.clean(values_again(job, operation, self.values))
        upload = Upload(job.filename, b"", job.input_width, job.input_height, job.input_format)
        uploads.check_output(upload, operation=operation, params=params, limits=limits)
        return Submission(job.account, operation, params, upload, parent=job.id, free=self.free)

    def understand(self, idempotency_key: str) -> Submission:
        self._check_kept()
        try:
            return self.service.understand_again(
                self.job,
                operation=self._operation,
                values=self.values,
                idempotency_key=idempotency_key,
                beyond_quota=True,
                free=self.free,
            )
        except ObjectMissing as error:
            raise Skipped(error.code, str(error)) from error

    @property
    def _operation(self) -> Operation:
        if self.operation is not None:
            return self.operation
        if self.job.operation not in OPERATIONS:
            raise Skipped("operation_gone", f"There is no operation {self.job.operation!r} any more.")
        return OPERATIONS[self.job.operation]

    def _check_kept(self) -> None:
        if self.job.purged_at is not None:
            raise Skipped(ObjectMissing.code, "The photo has expired and was deleted.")


@dataclass(frozen=True)
class Missing:
    """An id that was given and names no job, or none that fits the filters: whatever is asked of it is skipped."""

    job_id: UUID

    @property
    def name(self) -> str:
        return str(self.job_id)

    @property
    def account(self) -> NoReturn:
        self._skip()

    def key(self) -> NoReturn:
        self._skip()

    def is_of(self, job: Job) -> NoReturn:  # noqa: ARG002 - as Work has it
        self._skip()

    def sketch(self) -> NoReturn:
        self._skip()

    def understand(self, idempotency_key: str) -> NoReturn:  # noqa: ARG002 - as Work has it
        self._skip()

    def _skip(self) -> NoReturn:
        raise Skipped("no_such_job", "There is no such job, or it does not fit the filters.")


def reruns(
    service: JobService,
    jobs: Iterable[Job | UUID],
    operation: Operation | None,
    values: Mapping[str, Any],
    *,
    free: bool,
) -> Iterator[Work]:
    """Yield the work of running each job again; without an operation, its own."""
    for job in jobs:
        yield Rerun(service, job, operation, values, free) if isinstance(job, Job) else Missing(job)
