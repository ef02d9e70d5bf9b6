"""
What can go wrong with a job. Each class has a stable `code`; the sentences may change.

JobError
├── JobNotFound               job_not_found
├── IllegalMove               illegal_move
├── InvalidParameters         invalid_parameters      (errors: {parameter: [sentences]})
├── BadUpload
│   ├── ImageMissing          image_missing
│   ├── SeveralImages         several_images
│   ├── BadFilename           bad_filename
│   ├── EmptyFile             empty_file
│   ├── FileTooLarge          file_too_large
│   ├── NotAnImage            not_an_image
│   ├── IncompleteImage       incomplete_image
│   ├── TooManyPixels         too_many_pixels
│   ├── BadSide               bad_image_side
│   ├── BadImageUrl           invalid_image_url
│   └── ImageUrlUnreachable   image_url_unreachable
├── DirectUploadError         (a photo sent directly to the image store, and its upload_id)
│   ├── UploadNotFound        upload_not_found
│   ├── UploadIncomplete      upload_incomplete
│   ├── UploadMismatch        upload_mismatch
│   ├── UploadSent            upload_sent
│   ├── UploadUsed            upload_used
│   └── UploadExpired         upload_expired
├── AccountClosed             account_closed
├── OverQuota                 (carries retry_after in seconds)
│   ├── TooManyJobs           too_many_jobs
│   ├── TooManyUploads        too_many_uploads
│   └── TooManySubmits        too_many_requests
├── IdempotencyKeyReused      idempotency_key_reused
├── InvalidIdempotencyKey     invalid_idempotency_key
├── BadLink                   bad_link
├── ObjectMissing             image_gone
├── NotClaimable              (worker only: the delivery is dropped)
│   ├── JobBusy
│   └── JobOver
├── AttemptsExhausted         attempts_exhausted
├── InvalidPushToken          invalid_push_token      (webhooks only)
├── StateMissing              state_missing
├── Superseded                (compare-and-set lost; carries the state that won)
└── Unavailable               service_unavailable     (retryable)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.states import JobState


class JobError(Exception):
    """Anything this app refuses or cannot do, with a sentence that a person can act on."""

    code: ClassVar[str] = "job_error"
    retryable: ClassVar[bool] = False


class JobNotFound(JobError):
    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such job.")


class IllegalMove(JobError):
    """A finished job does not change any more."""

    code = "illegal_move"


class InvalidParameters(JobError):
    """Some parameters are unknown, of the wrong type or out of range: `errors` has sentences for each."""

    code = "invalid_parameters"

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        super().__init__("Some parameters are not right: " + ", ".join(sorted(errors)) + ".")
        self.errors = errors


class BadUpload(JobError):
    """The file is not one that we take."""


class ImageMissing(BadUpload):
    code = "image_missing"

    def __init__(self) -> None:
        super().__init__(
            'Send the photo as the file field "image", or as JSON its address as "image_url" or its "upload_id".'
        )


class SeveralImages(BadUpload):
    code = "several_images"

    def __init__(self) -> None:
        super().__init__("Send one photo per request; this one had several.")


class BadFilename(BadUpload):
    code = "bad_filename"


class EmptyFile(BadUpload):
    code = "empty_file"

    def __init__(self) -> None:
        super().__init__("The file is empty.")


class FileTooLarge(BadUpload):
    code = "file_too_large"


class NotAnImage(BadUpload):
    code = "not_an_image"


class IncompleteImage(BadUpload):
    code = "incomplete_image"


class TooManyPixels(BadUpload):
    code = "too_many_pixels"


class BadSide(BadUpload):
    code = "bad_image_side"


class BadImageUrl(BadUpload):
    code = "invalid_image_url"

    def __init__(self) -> None:
        super().__init__("image_url must be a public http or https address.")


class ImageUrlUnreachable(BadUpload):
    """The caller's server gave us no photo; the same request may work later."""

    code = "image_url_unreachable"


class DirectUploadError(JobError):
    """A photo that was to be sent directly to the image store cannot be taken from there."""


class UploadNotFound(DirectUploadError):
    code = "upload_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such upload. Ask for one with POST /api/v1/uploads.")


class UploadIncomplete(DirectUploadError):
    code = "upload_incomplete"

    def __init__(self) -> None:
        super().__init__("The photo has not arrived yet: send it to the upload's url first, then submit.")


class UploadMismatch(DirectUploadError):
    """What was sent is not what was announced; the sentence says in what."""

    code = "upload_mismatch"


class UploadSent(DirectUploadError):
    code = "upload_sent"

    def __init__(self) -> None:
        super().__init__("This upload has been sent already and is not replaced. Submit it, or ask for a new one.")


class UploadUsed(DirectUploadError):
    code = "upload_used"

    def __init__(self) -> None:
        super().__init__("This upload has been used for a job. Ask for a new one, or run that job again.")


class UploadExpired(DirectUploadError):
    code = "upload_expired"

    def __init__(self) -> None:
        super().__init__("This upload has expired. Ask for a new one and send the photo again.")


class AccountClosed(JobError):
    code = "account_closed"

    def __init__(self) -> None:
        super().__init__("This account is closed to new jobs. Ask whoever runs this site.")


class OverQuota(JobError):
    """The account has asked for as much as it may for now; retry_after is in seconds."""

    retry_after: int


class TooManyJobs(OverQuota):
    code = "too_many_jobs"
    # Nobody knows when a job ends; most take seconds.
    retry_after = 10

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"This account may have {limit:,} unfinished job{'s'[: limit != 1]} at once and has them. "
            "Wait until one has ended, or cancel one."
        )


class TooManyUploads(OverQuota):
    code = "too_many_uploads"

    def __init__(self, limit: int, *, retry_after: int) -> None:
        super().__init__(
            f"This account has {limit:,} uploads that were not used yet, and may have no more. "
            f"Submit jobs with them, or wait: the first expires in {retry_after:,} seconds."
        )
        self.retry_after = retry_after


class TooManySubmits(OverQuota):
    code = "too_many_requests"

    def __init__(self, limit: int, *, retry_after: int) -> None:
        super().__init__(
            f"This account may submit {limit:,} job{'s'[: limit != 1]} a minute. Try again in {retry_after} seconds."
        )
        self.retry_after = retry_after


class IdempotencyKeyReused(JobError):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used before for another request; take a new one.")


class InvalidIdempotencyKey(JobError):
    code = "invalid_idempotency_key"


class BadLink(JobError):
    code = "bad_link"

    def __init__(self) -> None:
        super().__init__("This link is not valid or has expired; fetch the job again for a fresh one.")


class ObjectMissing(JobError):
    code = "image_gone"

    def __init__(self, path: str) -> None:
        super().__init__("The image is no longer stored.")
        self.path = path


class NotClaimable(JobError):
    """A delivery that has nothing to do: acknowledge and drop it."""


class JobBusy(NotClaimable):
    """Another worker holds the job and its lease has not run out."""


class JobOver(NotClaimable):
    """The job has ended."""


class AttemptsExhausted(JobError):
    code = "attempts_exhausted"


class StateMissing(JobError):
    code = "state_missing"


class InvalidPushToken(JobError):
    """A push that does not come from whom it should; nothing was done."""

    code = "invalid_push_token"


class Superseded(JobError):
    """Somebody else moved the job first; nothing was written."""

    code = "superseded"

    def __init__(self, winner: JobState | None) -> None:
        super().__init__("The job was changed by somebody else.")
        self.winner = winner


class Unavailable(JobError):
    """A store or the queue does not answer now; worth a retry."""

    code = "service_unavailable"
    retryable = True
