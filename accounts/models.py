"""People, the accounts they belong to, and the keys their programs use."""

import unicodedata
import uuid
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

JOBS_READ = "jobs:read"
JOBS_WRITE = "jobs:write"
SCOPES = (JOBS_READ, JOBS_WRITE)
_AT_LEAST_ONE = [MinValueValidator(1)]


class Plan(models.TextChoices):
    FREE = "free"
    PRO = "pro"


class Account(models.Model):
    """Owns jobs and credits; people belong to it and see all of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=150)
    plan = models.CharField(max_length=20, choices=Plan.choices, default=Plan.FREE)
    created_at = models.DateTimeField(default=timezone.now)

    # What this account may do instead of what its plan says (jobs/limits.py); empty means as the plan.
    max_upload_megabytes = models.PositiveIntegerField(null=True, blank=True, validators=_AT_LEAST_ONE)
    max_input_megapixels = models.PositiveIntegerField(null=True, blank=True, validators=_AT_LEAST_ONE)
    max_output_megapixels = models.PositiveIntegerField(null=True, blank=True, validators=_AT_LEAST_ONE)
    # 0 closes the account to new jobs.
    max_unfinished_jobs = models.PositiveIntegerField(null=True, blank=True)
    max_submits_per_minute = models.PositiveIntegerField(null=True, blank=True, validators=_AT_LEAST_ONE)

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":  # noqa: ANN401
        """
        Create a person of `account`; without a password nobody can sign in as them.

        Raises ValueError without an email or an account, IntegrityError when the email is taken.
        """
        if not email:
            raise ValueError("A person signs in by e-mail, so one is needed.")
        if fields.get("account") is None:
            raise ValueError("A person belongs to an account, so one is needed.")
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":  # noqa: ANN401
        """Create a person who may do everything in the admin; `manage.py createsuperuser` names no account."""
        if fields.get("account") is None:
            fields["account"] = Account.objects.using(self._db).create(name=email)
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """Return the one spelling of an address that is stored and looked up."""
        return unicodedata.normalize("NFKC", email or "").strip().lower()

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=self.normalize_email(username))


class User(AbstractBaseUser, PermissionsMixin):
    """A person, who signs in by e-mail."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="people")
    email = models.EmailField(unique=True, error_messages={"unique": "Somebody signs in with this address already."})
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    joined_at = models.DateTimeField(default=timezone.now)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        constraints = [
            # With the unique column this makes addresses unique whatever their case, on an index that look-ups use.
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="accounts_user_email_is_lowercase"),
        ]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        # Not super().clean(), whose normalizing keeps the case of the part before the @.
        self.email = UserManager.normalize_email(self.email)


class ApiKey(models.Model):
    """
    A program's way in: belongs to the account and outlives the person who made it.

    Only the SHA-256 of the secret is stored. That is enough (and a slow hash would only slow every request), because
    the secret is random and has more than 160 bits: there is nothing to guess from a list.
    """

    class Mode(models.TextChoices):
        LIVE = "live"
        TEST = "test"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="api_keys")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True)
    secret_sha256 = models.CharField(max_length=64)
    mode = models.CharField(max_length=4, choices=Mode.choices, default=Mode.LIVE)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "API key"
        indexes = [models.Index(fields=["account", "created_at"], name="accounts_apikey_by_account")]

    def __str__(self) -> str:
        return f"{self.name} (img_{self.mode}_{self.prefix}_…)"
