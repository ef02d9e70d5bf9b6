"""SQL: who asked for what and how it ended; and the tables of the local profile's state store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from django.db import models

from jobs.operations import OPERATIONS
from jobs.states import JobStatus, StoredImage

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class JobQuerySet(models.QuerySet["Job"]):
    def owned_by(self, account_id: str | UUID) -> JobQuerySet:
        return self.filter(account_id=account_id)

    def unsettled(self) -> JobQuerySet:
        return self.filter(settled_at=None)

    def expired(self, *, now: datetime) -> JobQuerySet:
        return self.filter(expires_at__lte=now, purged_at=None).exclude(settled_at=None)


class Job(models.Model):
    """
    A request for an image, its input and price, and, once, how it ended.

    `status` is a mirror: until `settled_at` is set the truth is in the state store and this column says "queued".
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    account = models.ForeignKey("accounts.Account", on_delete=models.PROTECT, related_name="jobs")
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children")
    # No choices: an operation is added without a migration.
    operation = models.CharField(max_length=40)
    params = models.JSONField()
    credits = models.PositiveIntegerField()
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    # Made by an operator's bulk work: it takes none of the account's quota.
    beyond_quota = models.BooleanField(default=False, db_default=False)
    # When the sweep last put the job on its queue again; null says that it never had to.
    republished_at = models.DateTimeField(null=True)

    filename = models.CharField(max_length=255)
    input_path = models.CharField(max_length=400)
    input_width = models.PositiveIntegerField()
    input_height = models.PositiveIntegerField()
    input_bytes = models.PositiveBigIntegerField()
    input_format = models.CharField(max_length=10)

    status = models.CharField(max_length=12, choices=[(s.value, s.value) for s in JobStatus], default=JobStatus.QUEUED)
    settled_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.CharField(max_length=500, blank=True)
    # The output, engine, provenance and timings of the final state, in its own field names.
    outcome = models.JSONField(default=dict)
    purged_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["account", "-requested_at", "-id"], name="job_account_newest"),
            models.Index(fields=["requested_at"], condition=models.Q(settled_at=None), name="job_unsettled"),
            models.Index(fields=["account"], condition=models.Q(settled_at=None), name="job_unsettled_of_account"),
            # The operator's list, and what ended lately.
            models.Index(fields=["-requested_at", "-id"], name="job_newest"),
            models.Index(fields=["completed_at"], name="job_ended_at"),
            models.Index(fields=["expires_at"], condition=models.Q(purged_at=None), name="job_unpurged"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.id}"

    @property
    def title(self) -> str:
        """What people call its operation; an old job may be of one that is no more."""
        return OPERATIONS[self.operation].title if self.operation in OPERATIONS else self.operation

    @property
    def input(self) -> StoredImage:
        return StoredImage(
            path=self.input_path,
            width=self.input_width,
            height=self.input_height,
            bytes=self.input_bytes,
            format=self.input_format,
        )

    @property
    def owner(self) -> str:
        """The account as the state store names it."""
        return str(self.account_id)


class IdempotencyRecord(models.Model):
    """An Idempotency-Key of an account and the job it made; the fingerprint tells a repeat from a misuse."""

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    job = models.ForeignKey(Job, on_delete=models.CASCADE)
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["account", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"{self.key} of {self.account_id}"


class DirectUpload(models.Model):
    """A photo that an account was let send to the image store by itself: what it promised, and the job that used it."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="direct_uploads")
    filename = models.CharField(max_length=255)
    path = models.CharField(max_length=400)
    content_type = models.CharField(max_length=40)
    bytes = models.PositiveBigIntegerField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    # One job, and no second one: the database says so to whoever comes later.
    used_by = models.OneToOneField(Job, on_delete=models.CASCADE, null=True, related_name="direct_upload")
    purged_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["account", "expires_at"], condition=models.Q(used_by=None), name="upload_open"),
            models.Index(fields=["expires_at"], name="upload_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.path} of {self.account_id}"


class LiveState(models.Model):
    """A job's live state in the local profile: what Firestore's `jobs/{job_id}` is in the cloud."""

    job_id = models.UUIDField(primary_key=True)
    version = models.PositiveBigIntegerField()
    document: Any = models.JSONField()

    def __str__(self) -> str:
        return f"{self.job_id} v{self.version}"


class OwnerFeed(models.Model):
    """Raised when an owner gets a new job: what Firestore's `owners/{owner}` is in the cloud."""

    owner = models.CharField(primary_key=True, max_length=64)
    version = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"{self.owner} v{self.version}"
