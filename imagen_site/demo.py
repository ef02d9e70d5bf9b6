"""The demo account of the local profile: somebody to sign in as, with credits and a key for scripts."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from accounts import errors, services
from accounts.models import SCOPES, ApiKey, User
from billing.services import grant

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

EMAIL = "demo@imagen.local"
CREDITS = 1_000
_KEY_NAME = "demo"


@dataclass(frozen=True)
class Demo:
    """What var/demo.json holds."""

    url: str
    email: str
    password: str
    api_key: str


def ensure(path: Path, *, url: str, now: datetime) -> str:
    """
    Make the demo account and the file at `path` that tells its secrets; return in words what was done.

    Safe to repeat: what is there stays. When the file is lost or its key is closed, password and key are made anew and
    the old key is closed, since only the file knew them.
    """
    person = User.objects.filter(email=EMAIL).select_related("account").first()
    if person:
        _let_operate(person)
    kept = _read(path) if person else None
    if kept and _works(kept, now=now):
        if kept.url != url:
            _write(path, replace(kept, url=url))
        return "kept"
    demo = Demo(url=url, email=EMAIL, password=secrets.token_urlsafe(12), api_key="")
    if person:
        person.set_password(demo.password)
        person.save(update_fields=["password"])
        done = "its secrets were lost, so it has a new password and a new API key; the old key is closed"
    else:
        person = services.open_account(name="Demo", email=EMAIL, password=demo.password, now=now)
        _let_operate(person)
        done = f"created with {CREDITS:,} credits"
    grant(account=person.account, credits=CREDITS, reference=f"demo:{person.account.pk}", now=now, note="Demo credits")
    _write(path, replace(demo, api_key=_new_key(person, now=now)))
    return done


def _let_operate(person: User) -> None:
    # Whoever sits at the one machine runs it.
    if not (person.is_staff and person.is_superuser):
        person.is_staff = person.is_superuser = True
        person.save(update_fields=["is_staff", "is_superuser"])


def _new_key(person: User, *, now: datetime) -> str:
    for old in ApiKey.objects.filter(account=person.account, name=_KEY_NAME, revoked_at=None):
        services.revoke_api_key(account=person.account, key_id=old.pk, now=now)
    _, text = services.create_api_key(
        account=person.account, name=_KEY_NAME, scopes=SCOPES, mode="live", created_by=person, now=now
    )
    return text


def _read(path: Path) -> Demo | None:
    try:
        return Demo(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        # Lost, cut off or edited: it is made again.
        return None


def _works(demo: Demo, *, now: datetime) -> bool:
    try:
        key = services.authenticate_key(demo.api_key, now=now)
    except errors.InvalidApiKey:
        return False
    return User.objects.filter(email=demo.email, account=key.account).exists()


def _write(path: Path, demo: Demo) -> None:
    unfinished = path.with_name(f".{path.name}")
    unfinished.unlink(missing_ok=True)
    # Never readable by others, not even for the moment before a chmod.
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(demo), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
