"""Opening accounts, adding people, and giving out and checking API keys."""

from collections.abc import Collection
from datetime import datetime, timedelta
from hmac import compare_digest
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts import errors, key_text
from accounts.models import SCOPES, Account, ApiKey, User, UserManager

# Writing every use would make each request of a busy key wait for the same row.
LAST_USED_PRECISION = timedelta(minutes=1)
# Compared where there is no row, so that an unknown prefix takes the same steps as a wrong secret.
_NOBODYS_SHA256 = "0" * 64


def open_account(*, name: str, email: str, password: str, now: datetime) -> User:
    """
    Open an account and add its first person, who carries the account's name.

    Raises EmailMalformed, EmailTaken or PasswordTooWeak; then nothing is written.
    """
    with transaction.atomic():
        account = Account.objects.create(name=name, created_at=now)
        return add_person(account=account, name=name, email=email, password=password, now=now)


def add_person(*, account: Account, name: str, email: str, password: str, now: datetime) -> User:
    """
    Let one more person sign in to the account.

    Raises EmailMalformed, EmailTaken or PasswordTooWeak.
    """
    email = UserManager.normalize_email(email)
    _check_email(email)
    _check_password(password, User(email=email, name=name))
    try:
        with transaction.atomic():
            return User.objects.create_user(email, password, account=account, name=name, joined_at=now)
    except IntegrityError as error:
        raise errors.EmailTaken(email) from error


def find_account(text: str) -> Account:
    """
    Return the account that an operator names by its id, the address of one of its people, or its name.

    Raises AccountNotFound or AmbiguousAccount.
    """
    wanted = text.strip()
    try:
        found = Account.objects.filter(pk=UUID(wanted))
    except ValueError:
        named = Q(people__email=UserManager.normalize_email(wanted)) if "@" in wanted else Q(name__iexact=wanted)
        found = Account.objects.filter(named)
    accounts = list(found.order_by("created_at")[:10])
    if not accounts:
        raise errors.AccountNotFound(wanted)
    if len(accounts) > 1:
        raise errors.AmbiguousAccount(wanted, [account.pk for account in accounts])
    return accounts[0]


def create_api_key(
    *,
    account: Account,
    name: str,
    scopes: Collection[str],
    mode: str,
    created_by: User | None,
    now: datetime,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """
    Make a key; return it with its text, which cannot be had again.

    Raises UnknownScope when `scopes` is empty or names something else than `jobs:read` and `jobs:write`.
    """
    if not scopes or not set(scopes) <= set(SCOPES):
        raise errors.UnknownScope(scopes, SCOPES)
    text = key_text.make(ApiKey.Mode(mode).value)
    key = ApiKey.objects.create(
        account=account,
        created_by=created_by,
        name=name,
        prefix=text.prefix,
        secret_sha256=text.secret_sha256,
        mode=text.mode,
        scopes=sorted(set(scopes)),
        created_at=now,
        expires_at=expires_at,
    )
    return key, str(text)


def revoke_api_key(*, account: Account, key_id: UUID, now: datetime) -> bool:
    """
    Close a key for good; return False if it was closed already.

    Raises ApiKeyNotFound when the account has no such key.
    """
    keys = ApiKey.objects.filter(account=account, pk=key_id)
    if keys.filter(revoked_at=None).update(revoked_at=now):
        return True
    if not keys.exists():
        raise errors.ApiKeyNotFound
    return False


def authenticate_key(text: str, *, now: datetime) -> ApiKey:
    """
    Return the key with this text, its account loaded, and note that it was used.

    Raises InvalidApiKey; an unknown prefix and a wrong secret read and cost the same.
    """
    parts = key_text.parse(text)
    if parts is None:
        raise errors.InvalidApiKey("This is not an API key of ours; is it complete?")
    key = ApiKey.objects.select_related("account").filter(prefix=parts.prefix, mode=parts.mode).first()
    if not compare_digest(parts.secret_sha256, key.secret_sha256 if key else _NOBODYS_SHA256) or key is None:
        raise errors.InvalidApiKey("No such API key.")
    _check_open(key, now)
    _note_use(key, now)
    return key


def _check_email(email: str) -> None:
    try:
        validate_email(email)
    except ValidationError as error:
        raise errors.EmailMalformed(email) from error


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise errors.PasswordTooWeak(error.messages) from error


def _check_open(key: ApiKey, now: datetime) -> None:
    if key.revoked_at is not None:
        raise errors.InvalidApiKey("This API key was revoked.")
    if key.expires_at is not None and key.expires_at <= now:
        raise errors.InvalidApiKey("This API key has expired.")


def _note_use(key: ApiKey, now: datetime) -> None:
    stale = now - LAST_USED_PRECISION
    if key.last_used_at is not None and key.last_used_at > stale:
        return
    # The condition again in SQL: of many requests in one moment, one writes.
    unused = Q(last_used_at=None) | Q(last_used_at__lte=stale)
    ApiKey.objects.filter(unused, pk=key.pk).update(last_used_at=now)
    key.last_used_at = now
