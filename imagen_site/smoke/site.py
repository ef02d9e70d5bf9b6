"""The site under test, as its API shows it; every refusal is a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

# A load balancer gives up after half a minute; so does a caller.
_PATIENCE_SECONDS = 30


class SmokeFailure(Exception):
    """The site does not do what it should; the message says what it did."""


@dataclass(frozen=True)
class Credits:
    available: int
    held: int


class Site:
    """What a caller with a key sees. Raises SmokeFailure where an answer is not the one that it should be."""

    def __init__(self, url: str, *, key: str, headers: Mapping[str, str] | None = None) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={**(headers or {}), **({"Authorization": f"Bearer {key}"} if key else {})},
            timeout=_PATIENCE_SECONDS,
            follow_redirects=True,
        )

    def close(self) -> None:
        self._http.close()

    def check_health(self, path: str) -> None:
        self._get(path)

    def credits(self) -> Credits:
        seen = _field(self._json("/api/v1/account"), "credits")
        return Credits(available=_field(seen, "available"), held=_field(seen, "held"))

    def submit(self, path: str, photo: bytes, *, fields: dict[str, str], key: str) -> dict[str, Any]:
        """Submit a photo under an idempotency key; return the accepted job."""
        answer = self._asked(
            "POST",
            f"/api/v1/images/{path}",
            files={"image": ("smoke-test.jpg", photo, "image/jpeg")},
            data=fields,
            headers={"Idempotency-Key": key},
        )
        if answer.status_code not in {200, 202}:
            raise SmokeFailure(f"A photo for {path} was not accepted: {_said(answer)}")
        return _parsed(answer)

    def job(self, job_id: str) -> dict[str, Any]:
        return self._json(f"/api/v1/jobs/{job_id}")

    def download(self, link: str) -> bytes:
        return self._get(link).content

    def _json(self, path: str) -> dict[str, Any]:
        return _parsed(self._get(path))

    def _get(self, path: str) -> httpx.Response:
        answer = self._asked("GET", path)
        if answer.status_code != httpx.codes.OK:
            raise SmokeFailure(f"{path} cannot be had: {_said(answer)}")
        return answer

    def _asked(self, method: str, path: str, **what: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        try:
            return self._http.request(method, path, **what)
        except httpx.HTTPError as error:
            raise SmokeFailure(f"{path} did not answer: {type(error).__name__} {error}") from error


def _said(answer: httpx.Response) -> str:
    # A signed link ends with its signature, which is nobody's business: the path is enough.
    return f"status {answer.status_code}, {answer.text[:300]!r}"


def _parsed(answer: httpx.Response) -> dict[str, Any]:
    try:
        parsed = answer.json()
    except ValueError as error:
        raise SmokeFailure(f"{answer.url.path} is no JSON: {answer.text[:300]!r}") from error
    if not isinstance(parsed, dict):
        raise SmokeFailure(f"{answer.url.path} is no JSON object: {parsed!r}")
    return parsed


def _field(seen: Any, name: str) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(seen, dict) or name not in seen:
        raise SmokeFailure(f"An answer lacks {name!r}: {seen!r}")
    return seen[name]
