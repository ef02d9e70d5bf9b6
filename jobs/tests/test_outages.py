"""What people see while the store of live states or the database is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError

from jobs import queries
from jobs.errors import Unavailable

if TYPE_CHECKING:
    from django.test import Client
    from rest_framework.test import APIClient

    from accounts.models import Account
    from jobs.models import Job
    from jobs.tests.conftest import World


@pytest.fixture
def job(adapted: World, rich: Account) -> Job:
    return adapted.submit(rich)


@pytest.fixture
def states_away(adapted: World, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: Any, **_named: Any) -> None:
        raise Unavailable("The job states do not answer.")

    for method in ("create", "read", "read_many", "write", "raise_feed", "delete"):
        monkeypatch.setattr(adapted.states, method, away)


@pytest.mark.usefixtures("states_away")
class TestWhileTheStatesAreAway:
    def test_a_job_is_told_as_sql_knows_it(self, api: APIClient, job: Job) -> None:
        answer = api.get(f"/api/v1/jobs/{job.id}")

        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["version"]) == ("queued", 0)

    def test_the_list_is_whole(self, api: APIClient, job: Job) -> None:
        assert [row["job_id"] for row in api.get("/api/v1/jobs").json()["results"]] == [str(job.id)]

    def test_the_pages_are_there(self, browser: Client, job: Job) -> None:
        assert [browser.get(path).status_code for path in ("/", "/jobs/", f"/jobs/{job.id}/")] == [200, 200, 200]

    def test_a_list_by_live_status_says_when_to_ask_again(self, api: APIClient, browser: Client) -> None:
        program, person = api.get("/api/v1/jobs?status=queued"), browser.get("/jobs/?status=queued")

        assert (program.status_code, program.json()["code"]) == (503, "service_unavailable")
        assert person.status_code == 503
        assert "The job states do not answer" in person.content.decode()
        assert {program["Retry-After"], person["Retry-After"]} == {"5"}

    def test_a_cancel_says_so_and_changes_nothing(self, browser: Client, job: Job) -> None:
        assert browser.post(f"/jobs/{job.id}/cancel/").status_code == 503
        job.refresh_from_db()
        assert (job.status, job.settled_at) == ("queued", None)


class TestWhileTheDatabaseIsAway:
    def test_a_page_says_so_without_asking_who_is_signed_in(
        self, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(**_asked: Any) -> Job:
            raise OperationalError("could not connect to server at 10.0.0.5")

        monkeypatch.setattr(queries, "find_job", away)

        answer = browser.get("/jobs/00000000-0000-4000-8000-000000000000/")

        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
        assert "The database does not answer" in answer.content.decode()
        assert "10.0.0.5" not in answer.content.decode()

    def test_a_page_says_so_although_its_log_would_name_who_asked(
        self, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_store: SessionStore) -> None:
            raise OperationalError("could not connect to server at 10.0.0.5")

        monkeypatch.setattr(SessionStore, "_get_session_from_db", away)

        answer = browser.get("/jobs/")

        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
        assert "The database does not answer" in answer.content.decode()
