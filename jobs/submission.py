"""A request for a job that was understood."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from accounts.models import Account
    from jobs.models import Job
    from jobs.operations import Operation
    from jobs.uploads import Upload


class StoredPhoto(Protocol):
    """A photo that is in the image store already, and that one job may use."""

    @property
    def key(self) -> str:
        """What tells it from any other photo."""

    def copy_to(self, path: str) -> None:
        """Put exactly what was looked at where a job's input belongs; raises UploadMismatch, Unavailable."""

    def use_for(self, job: Job) -> None:
        """Note that this job has it, in the transaction that makes the job; raises UploadUsed."""


@dataclass(frozen=True)
class Submission:
    """A request that was understood: everything is checked but the credits."""

    account: Account
    operation: Operation
    params: Mapping[str, Any]
    upload: Upload
    idempotency_key: str = ""
    parent: UUID | None = None
    # An operator's bulk work: the account's quota and rate are passed over, its credits are not.
    beyond_quota: bool = False
    # Where the photo was fetched from, if it was not sent.
    image_url: str = ""
    # Where the photo lies, if it was sent directly to the image store.
    stored: StoredPhoto | None = None
    # The operator's gift: no credits are held, so none move however the job ends.
    free: bool = False

    @property
    def fingerprint(self) -> str:
        """Tell two requests apart by everything that decides their result."""
        if self.stored is not None:
            return fingerprint_of(self.operation, self.params, self.stored.key, "")
        # An address and not what is there now: a repeat is the same request, also when the photo has gone since.
        image = self.image_url or hashlib.sha256(self.upload.content[:]).hexdigest()
        return fingerprint_of(self.operation, self.params, image, self.upload.filename)


def fingerprint_of(operation: Operation, params: Mapping[str, Any], image: str, filename: str) -> str:
    request = [operation.name, dict(sorted(params.items())), image, filename]
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()


def values_again(job: Job, operation: Operation, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with which a job is run again: its own where the operation stays, changed by `values`."""
    # A parameter may have gone since; what the operation no longer has is no reason to refuse.
    known = {parameter.name for parameter in operation.parameters} if operation.name == job.operation else set()
    return {name: value for name, value in job.params.items() if name in known} | dict(values)
