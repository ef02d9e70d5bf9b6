"""Links of this site to stored images: signed, with a lifetime; what one leads to is decided when it is followed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core import signing
from django.urls import reverse

from jobs.errors import BadLink

# What the address that a link leads to must have left: a browser may keep it for that long.
ADDRESS_LEFT = timedelta(minutes=5)
_SALT = "jobs.image_store"


@dataclass(frozen=True)
class Link:
    """What a link names: an object of the image store, and the file name to download it under."""

    path: str
    filename: str


def sign(link: Link, *, lifetime: timedelta) -> str:
    """Return a link from the site's root; this asks nobody, so a list of jobs may have as many as it likes."""
    content = {"path": link.path, "filename": link.filename, "lifetime": lifetime.total_seconds()}
    return reverse("jobs:file", args=[signing.dumps(content, salt=_SALT, compress=True)])


def read(signed: str) -> Link:
    """Return what the last part of a link names; raises BadLink for a forged or expired one."""
    try:
        # The lifetime is inside the signature: read it first, then hold the age against it.
        lifetime = signing.loads(signed, salt=_SALT)["lifetime"]
        found: dict[str, Any] = signing.loads(signed, salt=_SALT, max_age=lifetime)
    except signing.BadSignature as error:
        raise BadLink from error
    return Link(path=found["path"], filename=found["filename"])
