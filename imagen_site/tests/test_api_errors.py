from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.test import APIClient

import accounts.errors
import billing.errors
import jobs.errors
from imagen_site.api_errors import CONTENT_TYPE, STATUS, handle
from jobs import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

NEVER_ANSWERED = {
    jobs.errors.JobError: "the root, never raised",
    jobs.errors.BadUpload: "a branch, never raised",
    jobs.errors.DirectUploadError: "a branch, never raised",
    jobs.errors.OverQuota: "a branch, never raised",
    jobs.errors.NotClaimable: "a branch, never raised",
    jobs.errors.JobBusy: "a worker drops the delivery",
    jobs.errors.JobOver: "a worker drops the delivery",
    jobs.errors.AttemptsExhausted: "is how a job ends, and shown as its error",
    jobs.errors.StateMissing: "readers fall back to SQL, cancelling makes the state",
    jobs.errors.Superseded: "cancelling looks again, a worker stops",
    accounts.errors.AccountNotFound: "an operator's command says it",
    accounts.errors.AmbiguousAccount: "an operator's command says it",
    billing.errors.BillingError: "the root, never raised",
    billing.errors.AlreadyHeld: "a hold is for a job id that was made a moment ago",
    billing.errors.NothingHeld: "every job has a hold, made in its own transaction: without it there is a bug",
    billing.errors.AlreadySettled: "settling happens once, guarded by the job's row: otherwise there is a bug",
    billing.errors.ReferenceTaken: "top-ups and grants are no part of the API",
    billing.errors.UnknownOperation: "an operation without a price is a bug",
    accounts.errors.AccountError: "the root, never raised",
    accounts.errors.EmailTaken: "said by the pages alone",
    accounts.errors.EmailMalformed: "said by the pages alone",
    accounts.errors.PasswordTooWeak: "said by the pages alone",
    accounts.errors.ApiKeyNotFound: "said by the pages alone",
    accounts.errors.UnknownScope: "said by the pages alone",
    accounts.errors.ScopeMissing: "becomes DRF's PermissionDenied with the same code",
    accounts.errors.TooManyAttempts: "said by the pages alone",
}


def tree(root: type[Exception]) -> Iterator[type[Exception]]:
    yield root
    for branch in root.__subclasses__():
        yield from tree(branch)


ALL = [
    kind
    for root in (jobs.errors.JobError, billing.errors.BillingError, accounts.errors.AccountError)
    for kind in tree(root)
]


class TestTheTable:
    @pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
    def test_has_every_error_that_can_reach_the_api(self, kind: type[Exception]) -> None:
        assert (kind in STATUS) != (kind in NEVER_ANSWERED)

    def test_gives_no_two_errors_the_same_code(self) -> None:
        codes = [kind.code for kind in STATUS]  # type: ignore[attr-defined]

        assert len(codes) == len(set(codes))


class TestAnAnswer:
    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (jobs.errors.JobNotFound(), 404, "job_not_found"),
            (jobs.errors.Unavailable("The queue does not answer."), 503, "service_unavailable"),
            (billing.errors.InsufficientCredits(needed=3, available=1), 402, "insufficient_credits"),
            (accounts.errors.InvalidApiKey("No such API key."), 401, "invalid_api_key"),
            (Http404(), 404, "not_found"),
            (PermissionDenied(), 403, "permission_denied"),
            (SuspiciousOperation("/etc/passwd"), 400, "malformed"),
            (RequestDataTooBig("more than 262144"), 413, "form_too_large"),
            (exceptions.ParseError("Bad JSON."), 400, "malformed"),
            (exceptions.NotAuthenticated(), 401, "not_authenticated"),
            (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
            (exceptions.NotAcceptable(), 406, "not_acceptable"),
            (exceptions.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
            (exceptions.Throttled(wait=7), 429, "too_many_requests"),
            (exceptions.ValidationError({"limit": ["A valid integer is required."]}), 422, "invalid_parameters"),
            (ZeroDivisionError("img_live_secret"), 500, "internal"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
    )
    def test_is_problem_details_with_a_code_and_a_sentence(self, error: Exception, status: int, code: str) -> None:
        answer = handle(error, {})

        assert (answer.status_code, answer.content_type) == (status, CONTENT_TYPE)
        assert {name: answer.data[name] for name in ("type", "status", "code")} == {
            "type": "about:blank",
            "status": status,
            "code": code,
        }
        assert answer.data["title"] not in {"", "Error"}
        assert answer.data["detail"].endswith(".")

    @pytest.mark.parametrize(
        ("error", "errors"),
        [
            (jobs.errors.InvalidParameters({"scale": ["3 is not one of 2, 4."]}), {"scale": ["3 is not one of 2, 4."]}),
            (exceptions.ValidationError({"limit": ["No.", "Never."]}), {"limit": ["No.", "Never."]}),
            (exceptions.ValidationError("No."), {"request": ["No."]}),
        ],
    )
    def test_has_sentences_for_each_parameter(self, error: Exception, errors: dict[str, list[str]]) -> None:
        assert handle(error, {}).data["errors"] == errors

    @pytest.mark.parametrize(("error", "seconds"), [(exceptions.Throttled(wait=7), "7"), (exceptions.Throttled(), "1")])
    def test_says_when_to_come_back(self, error: Exception, seconds: str) -> None:
        assert handle(error, {})["Retry-After"] == seconds

    def test_is_json_whatever_the_client_would_rather_have(self, alice_key: str) -> None:
        answer = APIClient().get("/api/v1/jobs", headers={"X-API-Key": alice_key, "Accept": "text/html"})

        assert (answer.status_code, answer["Content-Type"]) == (406, CONTENT_TYPE)
        assert answer.json()["code"] == "not_acceptable"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the site's own handler writes during the test."""
    (handler,) = (
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler)
        and isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
    )
    stream = io.StringIO()
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before)


class TestADatabaseThatIsAway:
    @pytest.mark.parametrize("error", [OperationalError("cannot connect"), InterfaceError("connection lost")])
    def test_is_an_outage_to_come_back_after_and_is_logged(self, error: Exception, written: io.StringIO) -> None:
        answer = handle(error, {})

        assert (answer.status_code, answer.data["code"]) == (503, "service_unavailable")
        assert int(answer["Retry-After"]) > 0
        (line,) = map(json.loads, written.getvalue().splitlines())
        assert line["event"] == "database_away"
        assert str(error) in line["exception"]

    def test_does_not_show_an_integrity_error_as_one(self) -> None:
        assert handle(IntegrityError("UNIQUE constraint failed"), {}).data["code"] == "internal"


class TestABug:
    def test_is_logged_with_its_traceback_and_told_without(
        self, alice_key: str, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(**_query: Any) -> None:
            raise RuntimeError(f"cannot find the job of {alice_key}")

        monkeypatch.setattr(queries, "find_job", broken)

        answer = APIClient().get(f"/api/v1/jobs/{uuid4()}", headers={"X-API-Key": alice_key})

        assert (answer.status_code, answer["Content-Type"]) == (500, CONTENT_TYPE)
        assert answer.json()["code"] == "internal"
        assert "cannot find" not in answer.content.decode()
        (line,) = (
            line for line in map(json.loads, written.getvalue().splitlines()) if line["event"] == "api_view_broke"
        )
        assert line["view"] == "JobApi"
        assert "RuntimeError: cannot find the job of img_live_[redacted]" in line["exception"]
        assert alice_key not in written.getvalue()
