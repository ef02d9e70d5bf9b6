"""What has SQL: submit, cancel, settle. Repairs are in sweep.py; workers move live state through runner.py alone."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog
from django.db import IntegrityError, transaction

import billing.services
from billing.errors import InsufficientCredits
from jobs import limits, metrics, uploads
from jobs.errors import (
    IdempotencyKeyReused,
    IllegalMove,
    InvalidIdempotencyKey,
    InvalidParameters,
    StateMissing,
    Superseded,
    Unavailable,
)
from jobs.fetch import filename_of
from jobs.image_store import input_path
from jobs.models import IdempotencyRecord, Job
from jobs.operations import OPERATIONS
from jobs.states import JobStatus, queued
from jobs.submission import Submission, fingerprint_of, values_again

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from accounts.models import Account
    from billing.prices import PriceTable
    from jobs.fetch import ImageFetcher
    from jobs.image_store import ImageStore
    from jobs.operations import Limits, Operation
    from jobs.queue import JobQueue
    from jobs.ranges import Encoded
    from jobs.state_store import JobStateStore
    from jobs.states import JobState

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class JobService:
    states: JobStateStore
    queue: JobQueue
    images: ImageStore
    fetcher: ImageFetcher
    prices: PriceTable
    limits_of: Callable[[Account], Limits]
    retention: timedelta

    def understand(
        self,
        *,
        account: Account,
        operation: Operation,
        values: Mapping[str, Any],
        content: Encoded,
        filename: str,
        idempotency_key: str = "",
        parent: UUID | None = None,
        max_bytes: int | None = None,
        beyond_quota: bool = False,
        free: bool = False,
    ) -> Submission:
        """
        Check a request before anything is stored.

        max_bytes: for a photo that does not come through the site, instead of what the site takes.
        Raises InvalidParameters, a BadUpload, or InvalidIdempotencyKey.
        """
        check_key(idempotency_key)
        params, allowed = operation.clean(values), self.limits_of(account)
        if max_bytes is not None:
            allowed = replace(allowed, max_bytes=max_bytes)
        upload = uploads.inspect(content, filename=filename, limits=allowed)
        uploads.check_output(upload, operation=operation, params=params, limits=allowed)
        return Submission(
            account, operation, params, upload, idempotency_key, parent, beyond_quota=beyond_quota, free=free
        )

    def submit(self, submission: Submission, *, now: datetime) -> Job:
        """
        Accept a job: store its input, then in one transaction the job, its credit hold and its idempotency record.

        With an Idempotency-Key that this account used for the same request before, returns the job made then. Raises
        IdempotencyKeyReused for another request, InsufficientCredits, AccountClosed, TooManyJobs, TooManySubmits or
        Unavailable; then nothing is kept or charged.
        """
        earlier = self._replay(submission)
        if earlier is not None:
            return earlier
        self._check_quota(submission, now=now)
        price = self.price(submission)
        available = billing.services.balance(submission.account).available
        if available < price:
            raise InsufficientCredits(needed=price, available=available)
        job = self._new_job(submission, price=price, now=now)
        try:
            self._store_input(job, submission)
            self._record(job, submission, now=now)
        except BaseException as error:
            self._discard_images(job)
            if isinstance(error, IntegrityError) and (earlier := self._replay(submission)) is not None:
                # The same key at the same moment: the other request made the job.
                return earlier
            raise
        log.info("job_accepted", job_id=str(job.id), operation=job.operation, credits=price)
        self._announce(job)
        return job

    def submit_image_url(
        self,
        *,
        account: Account,
        operation: Operation,
        values: Mapping[str, Any],
        image_url: str,
        idempotency_key: str = "",
        now: datetime,
    ) -> Job:
        """
        Fetch the photo at an address and submit it.

        A repeat with an Idempotency-Key is answered without fetching again. Raises what `understand` and `submit`
        raise, BadImageUrl and ImageUrlUnreachable.
        """
        check_key(idempotency_key)
        asked = fingerprint_of(operation, operation.clean(values), image_url, filename_of(image_url))
        earlier = self.earlier(account, idempotency_key, asked)
        if earlier is not None:
            return earlier
        # Before anything is fetched for an account that may not submit; `submit` looks once more.
        limits.check_quota(account, self.limits_of(account), now=now)
        content, filename = self.fetcher.fetch(image_url, limits=self.limits_of(account))
        submission = self.understand(
            account=account,
            operation=operation,
            values=values,
            content=content,
            filename=filename,
            idempotency_key=idempotency_key,
        )
        return self.submit(replace(submission, image_url=image_url), now=now)

    def understand_again(
        self,
        job: Job,
        *,
        operation: Operation | None = None,
        values: Mapping[str, Any] | None = None,
        idempotency_key: str = "",
        beyond_quota: bool = False,
        free: bool = False,
    ) -> Submission:
        """
        Check the request to run a job's photo once more, as a new job with that one as its parent.

        values replace single parameters of the job. For another operation they are the only ones: a strength of one is
        not a strength of the other. Raises ObjectMissing when the photo has expired, and what `understand` raises.
        """
        operation = operation or OPERATIONS.get(job.operation)
        if operation is None:
            raise InvalidParameters({"operation": [f"There is no operation {job.operation} any more."]})
        return self.understand(
            account=job.account,
            operation=operation,
            values=values_again(job, operation, values or {}),
            content=self.images.read(job.input_path),
            filename=job.filename,
            idempotency_key=idempotency_key,
            parent=job.id,
            # It was taken once: perhaps it was sent directly, where more is allowed.
            max_bytes=max(job.input_bytes, self.limits_of(job.account).max_bytes),
            beyond_quota=beyond_quota,
            free=free,
        )

    def rerun(
        self,
        job: Job,
        *,
        now: datetime,
        operation: Operation | None = None,
        values: Mapping[str, Any] | None = None,
        idempotency_key: str = "",
        beyond_quota: bool = False,
    ) -> Job:
        """Run a job's photo once more; raises what `understand_again` and `submit` raise."""
        submission = self.understand_again(
            job, operation=operation, values=values, idempotency_key=idempotency_key, beyond_quota=beyond_quota
        )
        return self.submit(submission, now=now)

    def _store_input(self, job: Job, submission: Submission) -> None:
        if submission.stored is not None:
            submission.stored.copy_to(job.input_path)
            return
        self.images.write(job.input_path, io.BytesIO(submission.upload.content[:]))

    def _discard_images(self, job: Job) -> None:
        try:
            self.images.delete_job(job.id)
        except Unavailable:
            # What went wrong before is what the caller should hear of. A bucket's lifecycle deletes the rest; a folder
            # has none, so the log names it.
            log.warning("input_left_behind", job_id=str(job.id))

    def _announce(self, job: Job) -> None:
        """
        Make an accepted job known: its state, its message, its owner's feed.

        What fails here the sweep repairs, and within seconds: it takes a job without a state for one never announced.
        """
        try:
            try:
                self.states.create(first_state(job))
            finally:
                # Without an answer too: the state may be there, and a queued job without a message waits for minutes.
                self._publish(job)
            self.states.raise_feed(job.owner)
        except Unavailable as error:
            log.warning("announce_postponed", job_id=str(job.id), error=str(error))

    def _publish(self, job: Job) -> None:
        try:
            self.queue.publish(job_id=job.id, operation=job.operation)
        except Unavailable:
            self.states.delete([job.id])
            raise

    def cancel(self, job: Job, *, now: datetime) -> None:
        """
        Cancel a job that has not ended; the hold is released. Cancelling a cancelled job changes nothing.

        Raises IllegalMove when it has completed or failed: a cancel wins or loses, never half.
        """
        while True:
            state, version = self._read_or_create(job)
            if state.status is JobStatus.CANCELLED:
                break
            if state.status.terminal:
                self.settle(job.id, now=now)
                raise IllegalMove(f"The job is {state.status}; only a queued or processing job can be cancelled.")
            try:
                cancelled = state.cancel(now=now)
                self.states.write(cancelled, expected=version)
            except Superseded:
                # The worker wrote a percentage in between: look again.
                continue
            metrics.job_ended(cancelled)
            break
        self.settle(job.id, now=now)

    def settle(self, job_id: UUID, *, now: datetime) -> bool:
        """
        Copy an ended job's outcome to SQL and capture or release its hold, once; return whether this call did it.

        Idempotent, and safe to call at any time from anywhere: a job that has not ended is left alone.
        """
        try:
            state, _ = self.states.read(job_id)
        except StateMissing:
            return False
        if not state.status.terminal:
            return False
        with transaction.atomic():
            done = Job.objects.filter(id=job_id, settled_at=None).update(**_outcome(state), settled_at=now)
            if not done:
                return False
            self._settle_credits(job_id, state.status, now=now)
        log.info("job_settled", job_id=str(job_id), status=state.status.value)
        return True

    def _settle_credits(self, job_id: UUID, status: JobStatus, *, now: datetime) -> None:
        if not Job.objects.filter(id=job_id, credits__gt=0).exists():
            return
        settle = billing.services.capture if status is JobStatus.COMPLETED else billing.services.release
        settle(reference=str(job_id), now=now)

    def _read_or_create(self, job: Job) -> tuple[JobState, Any]:
        try:
            return self.states.read(job.id)
        except StateMissing:
            # Accepted, but the announcement was lost and the sweep has not been here yet.
            self.states.create(first_state(job))
            return self.states.read(job.id)

    def _check_quota(self, submission: Submission, *, now: datetime, but: Job | None = None) -> None:
        if submission.beyond_quota:
            return
        limits.check_quota(submission.account, self.limits_of(submission.account), now=now, but=but)

    def price(self, submission: Submission) -> int:
        """Return the credits that a submission holds."""
        if submission.free:
            return 0
        upload = submission.upload
        width, height = submission.operation.output_size(upload.width, upload.height, submission.params)
        return self.prices.price(submission.operation.name, input_pixels=upload.pixels, output_pixels=width * height)

    def _new_job(self, submission: Submission, *, price: int, now: datetime) -> Job:
        job_id, upload = uuid4(), submission.upload
        return Job(
            id=job_id,
            account=submission.account,
            parent_id=submission.parent,
            operation=submission.operation.name,
            params=dict(submission.params),
            credits=price,
            beyond_quota=submission.beyond_quota,
            requested_at=now,
            expires_at=now + self.retention,
            filename=upload.filename,
            input_path=input_path(job_id, upload.filename),
            input_width=upload.width,
            input_height=upload.height,
            input_bytes=len(upload.content),
            input_format=upload.format,
        )

    def _record(self, job: Job, submission: Submission, *, now: datetime) -> None:
        with transaction.atomic():
            job.save(force_insert=True)
            if submission.stored is not None:
                submission.stored.use_for(job)
            if job.credits:
                billing.services.hold(account=job.account, credits=job.credits, reference=str(job.id), now=now)
            # Again, now that the hold has locked the account's balance: of several at once each sees those before it.
            self._check_quota(submission, now=now, but=job)
            if submission.idempotency_key:
                IdempotencyRecord.objects.create(
                    account=job.account,
                    key=submission.idempotency_key,
                    fingerprint=submission.fingerprint,
                    job=job,
                    created_at=now,
                )

    def _replay(self, submission: Submission) -> Job | None:
        if not submission.idempotency_key:
            return None
        return self.earlier(submission.account, submission.idempotency_key, submission.fingerprint)

    def earlier(self, account: Account, key: str, fingerprint: str) -> Job | None:
        """Return the job that this key made; raises IdempotencyKeyReused where that was for another request."""
        if not key:
            return None
        record = IdempotencyRecord.objects.select_related("job").filter(account=account, key=key).first()
        if record is None:
            return None
        if record.fingerprint != fingerprint:
            raise IdempotencyKeyReused
        return record.job


def check_key(idempotency_key: str) -> None:
    """Raise InvalidIdempotencyKey for a text that is none."""
    if idempotency_key and not re.fullmatch(r"[\x21-\x7e]{1,255}", idempotency_key):
        raise InvalidIdempotencyKey("An Idempotency-Key has 1 to 255 printable ASCII characters without spaces.")


def first_state(job: Job) -> JobState:
    return queued(
        job_id=job.id,
        owner=job.owner,
        operation=job.operation,
        params=job.params,
        image=job.input,
        now=job.requested_at,
        expires_at=job.expires_at,
    )


def _outcome(state: JobState) -> dict[str, Any]:
    return {
        "status": state.status.value,
        "completed_at": state.updated_at,
        "attempts": state.attempt,
        "error_code": state.error_code,
        "error_message": state.error_message[:500],
        "outcome": {
            "version": state.version,
            "stage": state.stage.value,
            "progress": state.progress,
            "output": state.output.as_json() if state.output else None,
            "engine": dict(state.engine) if state.engine is not None else None,
            "provenance": dict(state.provenance) if state.provenance is not None else None,
            "timings": dict(state.timings),
        },
    }
