"""Asking the API as a program does; bodies are written by hand, so that they can be wrong in every way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rest_framework.test import APIClient

from accounts import services as accounts
from jobs.tests.conftest import World, png
from tests.cast import LONG_AGO

if TYPE_CHECKING:
    from accounts.models import Account
    from jobs.models import Job

BOUNDARY = "----photo"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
JOBS, UPSCALE = "/api/v1/jobs", "/api/v1/images/upscale"
PROBLEM = "application/problem+json"


def asking_with(key: str) -> APIClient:
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return api


def key_with(account: Account, *scopes: str) -> str:
    _, text = accounts.create_api_key(
        account=account, name="tests", scopes=scopes, mode="live", created_by=None, now=LONG_AGO
    )
    return text


def refused(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer["Content-Type"]) == (status, PROBLEM)
    assert {"type", "title", "status", "code", "detail"} <= answer.json().keys()
    assert (answer.json()["status"], answer.json()["code"]) == (status, code)


@dataclass(frozen=True)
class Part:
    """One field of a form; with a filename it is a file."""

    name: str
    content: bytes
    filename: str | None = None
    headers: str = ""

    def encode(self) -> bytes:
        disposition = f'form-data; name="{self.name}"'
        if self.filename is not None:
            disposition += f'; filename="{self.filename}"'
        head = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n{self.headers}\r\n"
        return head.encode() + self.content + b"\r\n"


def photo(content: bytes | None = None, filename: str = "holiday.png", *, name: str = "image") -> Part:
    return Part(name, png() if content is None else content, filename)


def field(name: str, value: str) -> Part:
    return Part(name, value.encode())


def form(*parts: Part) -> bytes:
    return b"".join(part.encode() for part in parts) + f"--{BOUNDARY}--\r\n".encode()


def send(api: APIClient, *parts: Part, path: str = UPSCALE, headers: dict[str, str] | None = None) -> Any:
    """Post a form and return the response."""
    return api.generic("POST", path, form(*parts), MULTIPART, headers=headers)


def begin(world: World, job: Job) -> None:
    """Let a worker claim the job."""
    state, version = world.states.read(job.id)
    claimed = state.claim(now=world.clock(), lease=timedelta(seconds=60), max_attempts=5)
    world.states.write(claimed, expected=version)
