"""Photos that are sent directly to the image store: let one be sent, take it for a job, delete what nobody used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID, uuid4

import structlog

from jobs import limits, uploads
from jobs.errors import NotAnImage, TooManyUploads, Unavailable, UploadExpired, UploadNotFound, UploadUsed
from jobs.image_store import upload_path
from jobs.models import DirectUpload
from jobs.ranges import RangedBytes
from jobs.services import check_key
from jobs.submission import fingerprint_of
from jobs.upload_store import Promise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from accounts.models import Account
    from jobs.models import Job
    from jobs.operations import Operation
    from jobs.services import JobService
    from jobs.upload_store import Slot, UploadStore

log = structlog.get_logger(__name__)

CONTENT_TYPES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/tiff",
    "image/bmp",
    "image/gif",
    "image/heic",
    "image/heif",
    "image/avif",
)
# One that began to be sent before it expired may still be on its way.
_GRACE = timedelta(hours=1)
# So long somebody who comes back to an upload is told that it has expired; later, that there is none.
_REMEMBERED = timedelta(days=7)
_CHUNK = 300


@dataclass(frozen=True)
class DirectUploads:
    """lifetime: how long an upload may be sent and used."""

    service: JobService
    store: UploadStore
    lifetime: timedelta

    def open(
        self, *, account: Account, filename: str, content_type: str, size: int, now: datetime
    ) -> tuple[DirectUpload, Slot]:
        """
        Let an account send one photo, and return where to.

        Raises BadFilename, NotAnImage, EmptyFile, FileTooLarge, AccountClosed, TooManyUploads or Unavailable.
        """
        allowed = self.service.limits_of(account)
        uploads.check_filename(filename)
        if content_type not in CONTENT_TYPES:
            raise NotAnImage(f"content_type must be one of {', '.join(CONTENT_TYPES)}.")
        uploads.check_size(size, limits=replace(allowed, max_bytes=allowed.max_upload_bytes))
        limits.check_open(allowed)
        _check_room(account, allowed.max_open_uploads, now=now)
        upload_id = uuid4()
        upload = DirectUpload(
            id=upload_id,
            account=account,
            filename=filename,
            path=upload_path(upload_id, filename),
            content_type=content_type,
            bytes=size,
            created_at=now,
            expires_at=now + self.lifetime,
        )
        slot = self.store.slot(_promise(upload), now=now)
        upload.save(force_insert=True)
        return upload, slot

    def submit(
        self,
        *,
        account: Account,
        operation: Operation,
        values: Mapping[str, Any],
        upload_id: object,
        idempotency_key: str = "",
        now: datetime,
    ) -> Job:
        """
        Submit a photo that was sent before.

        Raises UploadNotFound, UploadExpired, UploadUsed, UploadIncomplete, UploadMismatch, and what JobService's
        `understand` and `submit` raise; where no job is made the upload can still be used.
        """
        check_key(idempotency_key)
        named = _upload_id(upload_id)
        asked = fingerprint_of(operation, operation.clean(values), _key(named), "")
        earlier = self.service.earlier(account, idempotency_key, asked)
        if earlier is not None:
            return earlier
        # Before anything is read for an account that may not submit; the service looks once more.
        limits.check_quota(account, self.service.limits_of(account), now=now)
        try:
            stored = self._stored(account, named, now=now)
            submission = self.service.understand(
                account=account, operation=operation, values=values, idempotency_key=idempotency_key, **stored.photo()
            )
            return self.service.submit(replace(submission, stored=stored), now=now)
        except UploadUsed:
            # Perhaps by this very request, sent a second time in the same moment.
            earlier = self.service.earlier(account, idempotency_key, asked)
            if earlier is None:
                raise
            return earlier

    def purge(self, *, now: datetime) -> tuple[int, int]:
        """Delete what was sent to uploads that have expired; return how many that were, and how many failed."""
        expired = DirectUpload.objects.filter(expires_at__lte=now - _GRACE)
        purged = failed = 0
        for upload in expired.filter(purged_at=None)[:_CHUNK]:
            try:
                self.store.delete(upload.path)
            except Unavailable as error:
                log.warning("upload_purge_failed", upload_id=str(upload.id), error=str(error))
                failed += 1
                continue
            DirectUpload.objects.filter(id=upload.id).update(purged_at=now)
            purged += 1
        expired.filter(expires_at__lte=now - _REMEMBERED).exclude(purged_at=None).delete()
        return purged, failed

    def _stored(self, account: Account, upload_id: UUID, *, now: datetime) -> _StoredUpload:
        upload = DirectUpload.objects.filter(account=account, id=upload_id).first()
        if upload is None:
            raise UploadNotFound
        if upload.used_by_id is not None:
            raise UploadUsed
        if now >= upload.expires_at:
            raise UploadExpired
        return _StoredUpload(upload, self.store, self.store.find(_promise(upload)))


class _Photo(TypedDict):
    content: RangedBytes
    filename: str
    max_bytes: int


@dataclass(frozen=True)
class _StoredUpload:
    """What was sent to an upload, of one generation: what replaces it is not worked on."""

    upload: DirectUpload
    store: UploadStore
    generation: str

    @property
    def key(self) -> str:
        return _key(self.upload.id)

    def photo(self) -> _Photo:
        """Return what is to be looked at; its size was allowed when it was promised."""

        def read(start: int, end: int) -> bytes:
            return self.store.read(self.upload.path, generation=self.generation, start=start, end=end)

        size = self.upload.bytes
        return {"content": RangedBytes(read, size), "filename": self.upload.filename, "max_bytes": size}

    def copy_to(self, path: str) -> None:
        self.store.copy(self.upload.path, generation=self.generation, to=path)

    def use_for(self, job: Job) -> None:
        # A write that says whether it was the first: of two at once the database lets one through.
        if not DirectUpload.objects.filter(id=self.upload.id, used_by=None).update(used_by=job):
            raise UploadUsed


def _promise(upload: DirectUpload) -> Promise:
    return Promise(upload.path, upload.content_type, upload.bytes, upload.expires_at)


def _check_room(account: Account, limit: int, *, now: datetime) -> None:
    # Several at once may all see room: it bounds what lies about unused, not what is paid.
    waiting = DirectUpload.objects.filter(account=account, used_by=None, expires_at__gt=now)
    expire = list(waiting.order_by("expires_at").values_list("expires_at", flat=True)[:limit])
    if len(expire) >= limit:
        raise TooManyUploads(limit, retry_after=ceil((expire[0] - now).total_seconds()))


def _upload_id(given: object) -> UUID:
    if not isinstance(given, str):
        raise UploadNotFound
    try:
        return UUID(given)
    except ValueError as error:
        raise UploadNotFound from error


def _key(upload_id: UUID) -> str:
    return f"upload {upload_id}"
