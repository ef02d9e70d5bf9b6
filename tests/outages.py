"""The parts of the cloud that can be away, and what people are told meanwhile: the table of docs/reliability.md."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cloud_fixtures import Cloud
    from tests.cloud_site import CloudSite


@dataclass(frozen=True)
class Outage:
    """
    A part that is away.

    submit, read, page: the status of an answer meanwhile, to POST /api/v1/images/..., GET /api/v1/jobs/{job_id} and the
    page /jobs/. Where that is not the usual one, the answer says so in a sentence and when to come back.
    """

    name: str
    begin: Callable[[Cloud], None] = field(repr=False)
    end: Callable[[Cloud], None] = field(repr=False)
    submit: int = 202
    read: int = 200
    page: int = 200


def _kill_triton(cloud: Cloud) -> None:
    cloud.triton.kill()


PUBSUB_REFUSES = Outage("pubsub", lambda cloud: cloud.pubsub.shut(), lambda cloud: cloud.pubsub.open())
PUBSUB_IS_SILENT = Outage("pubsub-silent", lambda cloud: cloud.pubsub.hold(), lambda cloud: cloud.pubsub.open())
FIRESTORE_REFUSES = Outage("firestore", lambda cloud: cloud.firestore.shut(), lambda cloud: cloud.firestore.open())
FIRESTORE_IS_SILENT = Outage(
    "firestore-silent", lambda cloud: cloud.firestore.hold(), lambda cloud: cloud.firestore.open()
)
STORAGE_REFUSES = Outage("storage", lambda cloud: cloud.storage.kill(), lambda cloud: cloud.storage.start(), submit=503)
STORAGE_IS_SILENT = Outage(
    "storage-silent", lambda cloud: cloud.storage.pause(), lambda cloud: cloud.storage.resume(), submit=503
)
TRITON_REFUSES = Outage("triton", _kill_triton, lambda cloud: cloud.triton.start())
TRITON_IS_SILENT = Outage("triton-silent", lambda cloud: cloud.triton.pause(), lambda cloud: cloud.triton.resume())
SQL_REFUSES = Outage(
    "sql", lambda cloud: cloud.database.shut(), lambda cloud: cloud.database.open(), submit=503, read=503, page=503
)
SQL_IS_SILENT = Outage(
    "sql-silent",
    lambda cloud: cloud.database.hold(),
    lambda cloud: cloud.database.open(),
    submit=503,
    read=503,
    page=503,
)
REFUSALS = (PUBSUB_REFUSES, FIRESTORE_REFUSES, STORAGE_REFUSES, TRITON_REFUSES, SQL_REFUSES)
SILENCES = (PUBSUB_IS_SILENT, FIRESTORE_IS_SILENT, STORAGE_IS_SILENT, TRITON_IS_SILENT, SQL_IS_SILENT)


@contextmanager
def signed_in(site: CloudSite) -> Iterator[httpx.Client]:
    """Yield a client of the pages in which the account's person has signed in."""
    with httpx.Client(base_url=site.url, timeout=60, trust_env=False) as pages:
        form = pages.get("/accounts/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        assert token
        sent = {"username": site.email, "password": site.password, "csrfmiddlewaretoken": token[1]}
        answer = pages.post("/accounts/login/", data=sent, headers={"Origin": site.url})
        assert answer.status_code == 302, answer.text
        yield pages
